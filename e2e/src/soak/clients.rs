//! Apps that read screens and claim rewards throughout the faults.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::findings::Findings;
use super::http::Api;
use super::oracle::grant_id;
use super::rng::Rng;

/// Pause between two visits of a client: some thousand requests in two minutes, without taking the
/// cores from the work.
const PAUSE: Duration = Duration::from_millis(25);
/// Tasks whose rewards the clients claim.
const CLAIMED_TASKS: [&str; 3] = ["daily-gifts", "sign-in", "first-friends"];

/// A claim that was answered by a receipt.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The claiming user.
    pub user: String,
    /// The task whose reward is claimed.
    pub task: String,
    /// The body of the request.
    pub body: Value,
    /// The key of the request.
    pub idempotency_key: String,
    /// The answer.
    pub receipt: Value,
}

/// All answers that the clients have received.
#[derive(Debug, Default)]
pub struct Hands {
    /// All receipts.
    pub claims: Vec<Claim>,
    /// All grants that receipts name.
    pub claimed: HashSet<Uuid>,
    /// By user: the last position seen, as lane and number.
    positions: HashMap<String, (u64, u64)>,
    /// The number of screens read.
    pub reads: u64,
    /// The number of claims that found nothing to claim.
    pub refused: u64,
    /// The number of reads that failed.
    pub failures: u64,
}

impl Hands {
    /// Returns the position in its lane at which each grant was claimed, according to the receipts.
    pub fn claimed_at(&self) -> HashMap<Uuid, u64> {
        let mut claimed_at = HashMap::new();
        for claim in &self.claims {
            let position = claim.receipt["position"].as_str().and_then(|p| p.split_once(':'));
            if let Some(number) = position.and_then(|(_, number)| number.parse().ok()) {
                claimed_at.extend(grants_of(&claim.receipt).into_iter().map(|id| (id, number)));
            }
        }
        claimed_at
    }
}

/// The clients, which act for all users.
#[derive(Debug)]
pub struct Clients {
    api: Arc<Api>,
    users: Vec<String>,
    hands: Mutex<Hands>,
    findings: Arc<Findings>,
}

impl Clients {
    /// Creates clients for these users.
    pub fn new(api: Arc<Api>, users: Vec<String>, findings: Arc<Findings>) -> Arc<Self> {
        Arc::new(Self { api, users, hands: Mutex::default(), findings })
    }

    /// Starts four clients, which run until `stop`.
    pub fn start(self: &Arc<Self>, seed: u64, stop: &CancellationToken) -> JoinSet<()> {
        let mut running = JoinSet::new();
        for number in 0..4 {
            let (clients, stop) = (Arc::clone(self), stop.clone());
            let mut rng = Rng::new(seed, 100 + number);
            running.spawn(async move {
                while !stop.is_cancelled() {
                    clients.visit(&mut rng).await;
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        running
    }

    /// Locks all answers that the clients have received.
    pub fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a user's screen and perhaps claims one of its rewards.
    async fn visit(&self, rng: &mut Rng) {
        let Some(user) = rng.pick(&self.users) else { return };
        // Rewards that were claimed before this read must not be claimable on its screen.
        let claimed_before = self.hands().claimed.clone();
        let position_before = self.hands().positions.get(user).copied();
        let answer = self.api.get(&["v1", "users", user, "tasks"], &[]).await;
        let screen = match answer {
            Ok((200, screen)) => screen,
            Ok((500.., _)) | Err(_) => return self.hands().failures += 1,
            Ok((status, body)) => {
                return self.findings.add("screen refused", format!("{user}: {status} {body}"));
            }
        };
        self.hands().reads += 1;
        self.check_position(user, &screen, position_before);
        let claimable = claimable(&screen);
        for (task, period, at, grant) in &claimable {
            if claimed_before.contains(grant) {
                let what = format!("{user} {task} {period}/{at}: {grant}");
                self.findings.add("claimable after its receipt", what);
            }
        }
        let candidates: Vec<_> =
            claimable.iter().filter(|(task, ..)| CLAIMED_TASKS.contains(&task.as_str())).collect();
        match rng.below(10) {
            0..6 => {
                if let Some((task, period, at, _)) = rng.pick(&candidates) {
                    // The screen does not name the period in which a step of the streak was
                    // reached.
                    let named = match task.as_str() {
                        "sign-in" => json!({ "milestone": at }),
                        _ => json!({ "period": period, "milestone": at }),
                    };
                    let body = if rng.chance(500) { named } else { json!({}) };
                    self.claim(user, task, body, rng).await;
                }
            }
            6 => {
                // Mostly there is nothing to claim.
                let task = CLAIMED_TASKS[rng.index(CLAIMED_TASKS.len())];
                self.claim(user, task, json!({}), rng).await;
            }
            7 => self.repeat(rng).await,
            _ => {}
        }
    }

    /// Checks that a later read does not show an earlier position.
    fn check_position(&self, user: &str, screen: &Value, before: Option<(u64, u64)>) {
        let text = screen["position"].as_str().unwrap_or_default();
        let parts =
            text.split_once(':').and_then(|(l, n)| Some((l.parse().ok()?, n.parse().ok()?)));
        let Some(now) = parts else {
            return self.findings.add("position", format!("{user}: {text:?} is none"));
        };
        if before.is_some_and(|before| before > now) {
            let what = format!("{user}: {now:?} was read after {before:?}");
            self.findings.add("position went back", what);
        }
        let mut hands = self.hands();
        let last = hands.positions.entry(user.to_owned()).or_insert(now);
        *last = (*last).max(now);
    }

    async fn claim(&self, user: &str, task: &str, body: Value, rng: &mut Rng) {
        let idempotency_key = format!("soak-{:016x}", rng.below(u64::MAX));
        match self.api.claim(user, task, &body, &idempotency_key).await {
            Ok((200, receipt)) => {
                self.check_receipt(user, task, &body, &receipt);
                let (user, task) = (user.to_owned(), task.to_owned());
                let claim = Claim { user, task, body, idempotency_key, receipt };
                let mut hands = self.hands();
                hands.claimed.extend(grants_of(&claim.receipt));
                hands.claims.push(claim);
            }
            Ok((409, _)) => self.hands().refused += 1,
            Ok((status, answer)) => {
                let what = format!("{user} {task} {body}: {status} {answer}");
                self.findings.add("claim refused", what);
            }
            Err(error) => {
                let what = format!("{user} {task} {body} under {idempotency_key}: {error}");
                self.findings.add("claim without an answer", what);
            }
        }
    }

    /// Checks that a receipt names what was claimed, at least one line, and the grant ids that
    /// follow from them.
    fn check_receipt(&self, user: &str, task: &str, body: &Value, receipt: &Value) {
        let asked = ["period", "milestone"]
            .iter()
            .all(|name| body.get(name).is_none_or(|asked| *asked == receipt[*name]));
        let period = receipt["period"].as_str().unwrap_or_default();
        let milestone = receipt["milestone"].as_i64().unwrap_or_default();
        let rewards = receipt["rewards"].as_array().map_or(&[][..], Vec::as_slice);
        let derived = rewards.iter().all(|reward| {
            let line = reward["line"].as_str().unwrap_or_default();
            reward["grant"] == json!(grant_id(user, task, period, milestone, line))
        });
        let same = receipt["user"] == user && receipt["task"] == task;
        if !(asked && derived && same) || rewards.is_empty() {
            self.findings.add("receipt", format!("{user} {task} {body}: {receipt}"));
        }
    }

    /// Repeats an earlier claim.
    async fn repeat(&self, rng: &mut Rng) {
        let claim = rng.pick(&self.hands().claims).cloned();
        if let Some(claim) = claim {
            self.must_repeat(&claim, rng.chance(700)).await;
        }
    }

    /// Checks that a repeated claim gets the same receipt: under the same key, or under another key
    /// for the same period and milestone.
    pub async fn must_repeat(&self, claim: &Claim, same_key: bool) {
        let Claim { user, task, body, idempotency_key, receipt } = claim;
        let answer = if same_key {
            self.api.claim(user, task, body, idempotency_key).await
        } else {
            let named = json!({"period": receipt["period"], "milestone": receipt["milestone"]});
            self.api.claim(user, task, &named, &Uuid::new_v4().to_string()).await
        };
        match answer {
            Ok((200, again)) if again == *receipt => {}
            other => {
                let what = format!("{user} {task}: first {receipt}, then {other:?}");
                self.findings.add("another receipt", what);
            }
        }
    }
}

/// Returns task, period, milestone and grant of everything that a screen shows as claimable.
fn claimable(screen: &Value) -> Vec<(String, String, i64, Uuid)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for task in list(&screen["tasks"]) {
        let id = task["id"].as_str().unwrap_or_default().to_owned();
        let now = task["period"]["key"].clone();
        let running = list(&task["milestones"]).into_iter().map(|m| (now.clone(), m));
        let earlier = list(&task["unclaimed_from_earlier_periods"]);
        let earlier = earlier.into_iter().map(|m| (m["period"]["key"].clone(), m));
        for (key, milestone) in running.chain(earlier) {
            for reward in list(&milestone["rewards"]) {
                let grant = reward["grant"].as_str().and_then(|text| text.parse().ok());
                if let (Some(grant), true) = (grant, reward["state"] == "claimable") {
                    let key = key.as_str().unwrap_or_default().to_owned();
                    let at = milestone["at"].as_i64().unwrap_or_default();
                    found.push((id.clone(), key, at, grant));
                }
            }
        }
    }
    found
}

/// Returns the grants of a receipt.
pub fn grants_of(receipt: &Value) -> Vec<Uuid> {
    let rewards = receipt["rewards"].as_array().cloned().unwrap_or_default();
    rewards.iter().filter_map(|r| r["grant"].as_str()?.parse().ok()).collect()
}
