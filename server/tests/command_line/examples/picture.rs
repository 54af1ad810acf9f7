//! A picture of a task screen, as an app could show the answer to `GET /v1/users/{user}/tasks`.

use std::fmt::Write as _;

use serde_json::Value;

const WIDTH: i64 = 460;
const MARGIN: i64 = 14;
/// Left edge of the text and the bars within a card.
const LEFT: i64 = MARGIN + 14;
const RIGHT: i64 = WIDTH - MARGIN - 14;
/// Number of cells in a row of a board.
const CELLS: i64 = 7;
const CELL_HEIGHT: i64 = 62;

const INK: &str = "#1f2430";
const GREY: &str = "#6b7280";
const GREEN: &str = "#1a8f4c";
const BLUE: &str = "#2563eb";
const LINE: &str = "#e3e6ec";

/// Draws downwards from `y`.
struct Canvas {
    svg: String,
    y: i64,
}

/// The picture of a screen.
pub fn of(screen: &Value) -> String {
    let mut canvas = Canvas { svg: String::new(), y: MARGIN };
    canvas.y += 16;
    let user = words(&screen["user"]);
    canvas.text(MARGIN, 16, INK, "bold", "start", &format!("{user}'s tasks"));
    canvas.text(WIDTH - MARGIN, 12, GREY, "normal", "end", &words(&screen["now"]));
    canvas.y += 14;
    let tasks = screen["tasks"].as_array().expect("a screen has tasks");
    for task in tasks {
        canvas.card(task, tasks);
    }
    let (height, body) = (canvas.y, canvas.svg);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#f3f4f7\"/>\n{body}</svg>\n"
    )
}

impl Canvas {
    fn card(&mut self, task: &Value, all: &[Value]) {
        let top = self.y;
        let before = std::mem::take(&mut self.svg);
        self.y += 26;
        let state = words(&task["state"]);
        self.text(LEFT, 15, INK, "bold", "start", &words(&task["title"]));
        self.text(RIGHT, 12, colour_of(&state), "bold", "end", &state.replace('_', " "));
        for line in [words(&task["description"]), locked_by(task, all)] {
            if !line.is_empty() {
                self.y += 18;
                self.text(LEFT, 12, GREY, "normal", "start", &line);
            }
        }
        if task["streak"].is_object() {
            self.board(task);
        } else {
            self.bar(task);
            for milestone in list(&task["milestones"]) {
                self.milestone(milestone);
            }
        }
        let earlier = task["unclaimed_count"].as_i64().unwrap_or_default();
        if earlier > 0 {
            self.y += 18;
            let text = format!("{earlier} more to claim from earlier periods");
            self.text(LEFT, 12, GREEN, "normal", "start", &text);
        }
        self.y += 14;
        let inside = std::mem::replace(&mut self.svg, before);
        let height = self.y - top;
        self.rect(MARGIN, top, WIDTH - 2 * MARGIN, height, 10, "#ffffff");
        self.svg.push_str(&inside);
        self.y += 10;
    }

    fn bar(&mut self, task: &Value) {
        let (progress, target) = (number(&task["progress"]), number(&task["target"]).max(1));
        self.y += 14;
        let (y, full) = (self.y, RIGHT - LEFT);
        self.rect(LEFT, y, full, 8, 4, LINE);
        let filled = (full * progress.min(target) / target).max(i64::from(progress > 0) * 8);
        if filled > 0 {
            self.rect(LEFT, y, filled, 8, 4, BLUE);
        }
        self.y += 24;
        self.text(LEFT, 12, GREY, "normal", "start", &format!("{progress} of {target}"));
    }

    fn milestone(&mut self, milestone: &Value) {
        let mark = if milestone["reached_at"].is_string() { "✓" } else { "○" };
        let mut label = format!("{mark} {}", milestone["at"]);
        for reward in list(&milestone["rewards"]) {
            let state = words(&reward["state"]);
            for line in reward_lines(reward) {
                self.y += 20;
                self.text(LEFT, 12, INK, "bold", "start", &std::mem::take(&mut label));
                self.text(LEFT + 66, 12, INK, "normal", "start", &line);
            }
            self.text(RIGHT, 12, colour_of(&state), "normal", "end", &state);
        }
    }

    /// The steps of a streak as a board, and its figures.
    fn board(&mut self, task: &Value) {
        self.y += 14;
        let gap = 6;
        let width = (RIGHT - LEFT - gap * (CELLS - 1)) / CELLS;
        let top = self.y;
        let mut rows = 0;
        for (index, milestone) in (0_i64..).zip(list(&task["milestones"])) {
            let (row, column) = (index / CELLS, index % CELLS);
            rows = rows.max(row + 1);
            let (x, y) = (LEFT + column * (width + gap), top + row * (CELL_HEIGHT + gap));
            let reached = number(&task["progress"]) >= number(&milestone["at"]);
            let state = words(&milestone["rewards"][0]["state"]);
            let (fill, ink) = if reached { ("#dcf3e4", GREEN) } else { ("#eef0f4", GREY) };
            self.rect(x, y, width, CELL_HEIGHT, 6, fill);
            let middle = x + width / 2;
            let (amount, name) = short(&milestone["rewards"][0]);
            for (down, size, text) in [
                (16, 11, format!("Day {}", milestone["at"])),
                (33, 13, amount),
                (46, 9, name),
                (57, 8, if state.is_empty() && reached { "made up".to_owned() } else { state }),
            ] {
                self.y = y + down;
                self.text(middle, size, ink, "normal", "middle", &text);
            }
        }
        self.y = top + rows * (CELL_HEIGHT + gap) + 14;
        let streak = &task["streak"];
        let count = |field: &str| number(&streak[field]);
        let risk = if streak["at_risk"] == true { " · at risk" } else { "" };
        let text = format!(
            "Streak {} · longest {} · freezes {}{risk}",
            count("current"),
            count("longest"),
            count("freezes")
        );
        self.text(LEFT, 12, GREY, "normal", "start", &text);
    }

    fn text(&mut self, x: i64, size: i64, fill: &str, weight: &str, anchor: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let y = self.y;
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        writeln!(
            self.svg,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{fill}\" font-weight=\"{weight}\" \
             text-anchor=\"{anchor}\">{text}</text>"
        )
        .expect("a text takes any line");
    }

    fn rect(&mut self, x: i64, y: i64, width: i64, height: i64, radius: i64, fill: &str) {
        writeln!(
            self.svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\" \
             fill=\"{fill}\"/>"
        )
        .expect("a text takes any line");
    }
}

fn colour_of(state: &str) -> &'static str {
    match state {
        "claimable" => GREEN,
        "in_progress" | "delivering" => BLUE,
        _ => GREY,
    }
}

/// The titles of the tasks that keep a task locked.
fn locked_by(task: &Value, all: &[Value]) -> String {
    let title = |id: &Value| {
        let found = all.iter().find(|task| task["id"] == *id);
        found.map_or_else(|| words(id), |task| words(&task["title"]))
    };
    let titles: Vec<String> = list(&task["locked_by"]).iter().map(title).collect();
    if titles.is_empty() { String::new() } else { format!("Opens after: {}", titles.join(", ")) }
}

/// The payout of a reward line, or each possible one with its chance.
fn reward_lines(reward: &Value) -> Vec<String> {
    let title = words(&reward["title"]);
    let pays = |of: &Value| format!("{} × {}", number(&of["amount"]), words(&of["code"]));
    let choices = list(&reward["one_of"]);
    if choices.is_empty() {
        // A title alone means one piece, unless chance decided what it became.
        let is_one = reward["kind"] == "item" && reward["amount"] == 1;
        return match title.as_str() {
            "" => vec![pays(reward)],
            title if is_one => vec![title.to_owned()],
            title => vec![format!("{title}: {}", pays(reward))],
        };
    }
    let total: i64 = choices.iter().map(|choice| number(&choice["weight"])).sum();
    let chance = |of: &Value| format!("{} %", 100 * number(&of["weight"]) / total.max(1));
    let lines = choices.iter().map(|choice| format!("{} {}", chance(choice), pays(choice)));
    Some(title).filter(|title| !title.is_empty()).into_iter().chain(lines).collect()
}

/// Amount and name of a reward, for a cell.
fn short(reward: &Value) -> (String, String) {
    let title = words(&reward["title"]);
    let name = if title.is_empty() { words(&reward["code"]) } else { title };
    (format!("{}", number(&reward["amount"])), name)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
