//! An API for each test, on a database of its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use jsonwebtoken::{EncodingKey, Header, encode};
use metrics_exporter_prometheus::PrometheusBuilder;
use plaudit_api::auth::{KeyOptions, Keys};
use plaudit_api::{
    ApiState, Computing, CorsOrigins, Exposition, InFlight, Readiness, Rebuilds, Streams, router,
};
use plaudit_domain::lane::Lane;
use plaudit_embedded::fault_proxy::FaultProxy;
use plaudit_embedded::test_cluster;
use plaudit_event_store::catalogue_store::{self, CatalogueStore};
use plaudit_event_store::deliveries::PayerRoutes;
use plaudit_event_store::{Clock, CommandQueue, Executor, pool, schema};
use plaudit_followers::HeadWatch;
use plaudit_projections::task_view::BatchingLoader;
use plaudit_release::Resolver;
use plaudit_task_file::parse;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub const SECRET: &str = "a secret that only tests know, long enough";

pub const TASKS: &str = "
tasks:
  - id: first-team
    kind: ordinary
    text: { en: { title: Form your first team, description: Any team counts. }, zh: { title: 首次组队 } }
    category: newbie
    order: 10
    objective: { on: team.formed, target: 1 }
    rewards: [ { line: coins, kind: currency, code: coin, amount: 100 } ]
  - id: daily-gifts
    kind: periodic
    every: day
    text: { en: { title: Send gifts } }
    category: daily
    order: 20
    objective: { on: gift.sent, measure: { sum: data.coins } }
    milestones:
      - { at: 100, rewards: [ { line: small, kind: currency, code: coin, amount: 10 } ] }
      - { at: 1000, rewards: [ { line: big, kind: item, code: badge-gold, amount: 1 } ] }
";

const IN_FLIGHT_BYTES: usize = 64 * 1024 * 1024;

/// An API over a fresh database.
pub struct Api {
    pub router: Router,
    pub pool: PgPool,
    pub executor: Arc<Executor>,
    pub rebuilds: Rebuilds,
    /// Ends all streams when it is cancelled, as a stopping process does.
    pub streams_stop: CancellationToken,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that the answer is a problem of this kind, in the common shape.
    #[track_caller]
    pub fn is_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        assert_eq!(self.body["type"], format!("/problems/{kind}"), "{}", self.text);
        assert_eq!(self.body["status"], status);
        assert!(self.body["title"].is_string() && self.body["detail"].is_string());
    }
}

impl Api {
    /// Starts an API with the tasks of [`TASKS`], at least a minute before the end of the day
    /// (UTC).
    pub async fn start() -> Self {
        until_the_day_has_a_minute_left().await;
        Self::with_tasks().await
    }

    /// Starts an API with the tasks of [`TASKS`], at any time of day.
    pub async fn with_tasks() -> Self {
        let api = Self::with_keys(KeyOptions {
            hs256_secret: Some(SECRET.to_owned()),
            ..KeyOptions::default()
        })
        .await;
        catalogue_store::publish(&api.pool, &parse(TASKS).unwrap(), "test").await.unwrap();
        api
    }

    pub async fn with_keys(keys: KeyOptions) -> Self {
        Self::with(keys, IN_FLIGHT_BYTES, &[]).await
    }

    /// Starts an API with keys that the test also holds.
    pub async fn checking_with(keys: Keys) -> Self {
        let url = test_cluster::create_database("api").await;
        Self::over(&url, keys, IN_FLIGHT_BYTES, &[]).await
    }

    /// Starts an API with the tasks of [`TASKS`] and a proxy in front of its database. Also returns
    /// the proxy, and a pool that bypasses it.
    pub async fn over_proxy() -> (Self, FaultProxy, PgPool) {
        let url = test_cluster::create_database("api").await;
        let (proxy, through) = test_cluster::fault_proxy(&url).await;
        let keys = KeyOptions { hs256_secret: Some(SECRET.to_owned()), ..KeyOptions::default() };
        let keys = Keys::open(&keys).await.unwrap();
        let api = Self::over(&through, keys, IN_FLIGHT_BYTES, &[]).await;
        catalogue_store::publish(&api.pool, &parse(TASKS).unwrap(), "test").await.unwrap();
        (api, proxy, pool::connect(&url, 2).unwrap())
    }

    /// Starts an API with a limit on the memory of its requests, and with allowed origins.
    pub async fn with(keys: KeyOptions, in_flight_bytes: usize, origins: &[&str]) -> Self {
        let url = test_cluster::create_database("api").await;
        let keys = Keys::open(&keys).await.unwrap();
        Self::over(&url, keys, in_flight_bytes, origins).await
    }

    async fn over(url: &str, keys: Keys, in_flight_bytes: usize, origins: &[&str]) -> Self {
        let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
        let pool = pool::connect(url, 5).unwrap();
        schema::migrate(&pool, 8.try_into().unwrap()).await.unwrap();
        Self::serving(pool, keys, in_flight_bytes, &origins, Clock::System).await
    }

    /// Starts another process on the same database; they share no memory.
    pub async fn another_process(&self) -> Self {
        self.another_process_with(Clock::System).await
    }

    /// Starts another process on the same database, whose clock stands still at `time`.
    pub async fn at(&self, time: &str) -> Self {
        self.another_process_with(Clock::Fixed(time.parse().unwrap())).await
    }

    async fn another_process_with(&self, clock: Clock) -> Self {
        let options = self.pool.connect_options().as_ref().clone();
        let pool =
            sqlx::postgres::PgPoolOptions::new().max_connections(5).connect_lazy_with(options);
        let keys = KeyOptions { hs256_secret: Some(SECRET.to_owned()), ..KeyOptions::default() };
        let keys = Keys::open(&keys).await.unwrap();
        Self::serving(pool, keys, IN_FLIGHT_BYTES, &[], clock).await
    }

    async fn serving(
        pool: PgPool,
        keys: Keys,
        in_flight_bytes: usize,
        origins: &[String],
        clock: Clock,
    ) -> Self {
        let lanes = schema::check(&pool).await.unwrap();
        let store = Arc::new(CatalogueStore::default());
        let executor = Executor::new(pool.clone(), lanes, store, vec![]).with_clock(clock);
        let executor = Arc::new(executor);
        let commands = CommandQueue::start(Arc::clone(&executor), 2);
        let rebuilds = Rebuilds::default();
        let heads = HeadWatch::start(&pool, CancellationToken::new());
        let streams_stop = CancellationToken::new();
        let tolerance = Duration::from_secs(300);
        let resolver = Resolver::new(
            pool.clone(),
            commands.clone(),
            watch::channel(Arc::default()).1,
            tolerance,
        );
        let router = router(ApiState {
            pool: pool.clone(),
            operators: pool.clone(),
            screens: BatchingLoader::new(pool.clone(), 2, clock),
            heads: Arc::clone(&heads),
            computing: Computing::default(),
            in_flight: InFlight::new(in_flight_bytes),
            cors_origins: CorsOrigins::parse(origins).unwrap(),
            executor: Arc::clone(&executor),
            commands,
            keys,
            readiness: Readiness::always(),
            exposition: Exposition::new(PrometheusBuilder::new().build_recorder().handle(), None),
            future_tolerance: tolerance,
            rebuilds: rebuilds.clone(),
            past: plaudit_api::PastLookup::none("this test has no Kafka"),
            payer_routes: PayerRoutes::new(|_, _| Some("kafka".to_owned())),
            resolver,
            streams: Streams::start(&pool, 1_000, heads, streams_stop.clone()),
        });
        Self { router, pool, executor, rebuilds, streams_stop }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body, text }
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.get_with(token, path, &[]).await
    }

    pub async fn get_with(&self, token: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request(Method::GET, path, token, headers, Body::empty())).await
    }

    /// Posts JSON; null sends no body.
    pub async fn post(
        &self,
        token: &str,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        if body.is_null() {
            return self.send(request(Method::POST, path, token, headers, Body::empty())).await;
        }
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.send(request(Method::POST, path, token, &all, body.to_string().into())).await
    }

    /// Sends an action that must be accepted, and returns its position.
    pub async fn act(&self, user: &str, kind: &str, id: &str, data: Value) -> String {
        let action = action(user, kind, id, data);
        let answer = self.post(&producer(), "/v1/actions", &action, &[]).await;
        assert_eq!(answer.body["outcomes"][0]["outcome"], "accepted", "{}", answer.text);
        answer.body["outcomes"][0]["position"].as_str().unwrap().to_owned()
    }

    /// Posts JSON as a client that hangs up once the database answers true to `question`.
    pub async fn post_and_hang_up(&self, path: &str, key: &str, body: &Value, question: &str) {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let sent = request(Method::POST, path, &operator(), &headers, body.to_string().into());
        let client = tokio::spawn(self.router.clone().oneshot(sent));
        self.until(question).await;
        client.abort();
        // On a slow machine the answer may have come first.
        assert!(client.await.map_or_else(|ended| ended.is_cancelled(), |_| true));
    }

    /// Waits until the database answers true to a question.
    pub async fn until(&self, question: &str) {
        let asked = async {
            while !sqlx::query_scalar::<_, bool>(question).fetch_one(&self.pool).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let limit = Duration::from_secs(30);
        assert!(tokio::time::timeout(limit, asked).await.is_ok(), "never true: {question}");
    }

    /// Locks all lanes, so that no change of a user is applied until the transaction ends.
    pub async fn hold_lanes(&self) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut held = self.pool.begin().await.unwrap();
        sqlx::query("select pg_advisory_xact_lock(1347174741, lane) from lane_numbers")
            .execute(&mut *held)
            .await
            .unwrap();
        held
    }

    pub fn lane_of(&self, user: &str) -> Lane {
        Lane::of(user, self.executor.lane_count())
    }

    /// Returns a user in another lane.
    pub fn user_beside(&self, user: &str) -> String {
        let lane = |user: &str| Lane::of(user, self.executor.lane_count());
        (0..1_000).map(|n| format!("beside-{n}")).find(|other| lane(other) != lane(user)).unwrap()
    }
}

pub fn request(
    method: Method,
    path: &str,
    token: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "test");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// Waits if the day (UTC) is about to end: a test takes seconds, and its actions and reads belong
/// in one day.
async fn until_the_day_has_a_minute_left() {
    const DAY: u64 = 24 * 60 * 60;
    while DAY - now() % DAY < 60 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns an action that occurs now.
pub fn action(user: &str, kind: &str, id: &str, data: impl Into<Value>) -> Value {
    let data: Value = data.into();
    let time = jiff::Timestamp::now().to_string();
    json!({"specversion": "1.0", "source": "/test", "id": id, "type": kind, "subject": user, "time": time, "data": data})
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Signs a token with these claims. It is valid for an hour unless they say otherwise.
pub fn token(mut claims: Value) -> String {
    if claims.get("exp").is_none() {
        claims["exp"] = json!(now() + 3600);
    }
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

pub fn client(user: &str) -> String {
    token(json!({"sub": user, "roles": ["client"]}))
}

pub fn producer() -> String {
    token(json!({"sub": "gifts", "roles": ["producer"]}))
}

pub fn auditor() -> String {
    token(json!({"sub": "audit", "roles": ["auditor"]}))
}

pub fn operator() -> String {
    token(json!({"sub": "ops", "roles": ["operator"]}))
}
