//! The example payers of `examples/payers`, run unchanged: signed messages, repeats, strangers.
//!
//! The one in Python must run: `dev/install` installs Python. Those in Go and TypeScript run only
//! where there is `go` or `node`; elsewhere `NOT RUN` is printed for each. For a `node` that does not
//! run TypeScript, the types are stripped by the compiler that `dev/install` fetches.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use plaudit_delivery::webhook::{Client, Reply, Secret};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use uuid::Uuid;

use crate::payer::SECRET;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/payers")
}

/// A running example. Ends with the test.
struct Example {
    url: Url,
    book: PathBuf,
    _process: tokio::process::Child,
}

impl Example {
    async fn start(program: &str, arguments: &[&str], folder: &Path) -> Self {
        let book = std::env::temp_dir().join(format!("plaudit-payer-{}", Uuid::new_v4()));
        Self::start_with(book, program, arguments, folder).await
    }

    /// Starts an example whose last process was killed while it wrote a line. Returns the grants of
    /// the whole line and of the torn one as well.
    async fn start_after_crash(
        program: &str,
        arguments: &[&str],
        folder: &Path,
    ) -> (Self, [String; 2]) {
        let book = std::env::temp_dir().join(format!("plaudit-payer-{}", Uuid::new_v4()));
        let grants = [(); 2].map(|()| Uuid::new_v4().to_string());
        let [whole, torn] = grants.each_ref().map(|grant| {
            json!({"grant": grant, "user": "ü42", "kind": "currency", "code": "coin", "amount": 10})
                .to_string()
        });
        // In the middle of a character, too.
        let torn = &torn.as_bytes()[..=torn.find('ü').unwrap()];
        std::fs::write(&book, [whole.as_bytes(), b"\n", torn].concat()).unwrap();
        (Self::start_with(book, program, arguments, folder).await, grants)
    }

    async fn start_with(book: PathBuf, program: &str, arguments: &[&str], folder: &Path) -> Self {
        let mut process = tokio::process::Command::new(program)
            .args(arguments)
            .arg("0")
            .current_dir(folder)
            // Plaudit signs with the second of two secrets, as while the payer replaces one.
            .env("PAYER_SECRETS", format!("whsec_c3RyYW5nZXJzdHJhbmdlcnN0cmFuZ2Vy,{SECRET}"))
            .env("PAYER_BOOK", &book)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(Duration::from_secs(120), lines.next_line()).await;
        let url = line.unwrap().unwrap().expect("it prints its address").parse().unwrap();
        Self { url, book, _process: process }
    }

    /// The paid grants with their amounts, from the lines of a file.
    fn lines(&self) -> Vec<(String, i64)> {
        let text = std::fs::read_to_string(&self.book).unwrap();
        let paid = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            (line["grant"].as_str().unwrap().to_owned(), line["amount"].as_i64().unwrap())
        };
        text.lines().map(paid).collect()
    }

    /// The paid grants with their amounts, from an `SQLite` database that Python reads.
    fn rows(&self) -> Vec<(String, i64)> {
        let script = "import json,sqlite3,sys\n\
            print(json.dumps(sqlite3.connect(sys.argv[1]).execute('select grant_id, amount from payments').fetchall()))";
        let output = Command::new("python3").args(["-c", script]).arg(&self.book).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.book);
    }
}

fn message(id: &str, kind: &str) -> String {
    json!({"specversion": "1.0", "id": id, "source": "/plaudit", "type": kind, "subject": "ü42",
        "time": "2026-03-29T09:12:00Z", "datacontenttype": "application/json",
        "data": {"task": "daily-gifts", "period": "2026-03-29", "milestone": 100, "line": "small",
            "kind": "currency", "code": "coin", "amount": 10, "reached_at": "2026-03-29T09:12:00Z"}})
    .to_string()
}

/// Sends an example the messages of Plaudit and of strangers. Returns the grants that it must have
/// paid.
async fn is_a_payer(example: &Example) -> Vec<(String, i64)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::new(Duration::from_secs(10), true).unwrap();
    let ours = [Secret::parse(SECRET).unwrap()];
    let strangers = [Secret::parse(&format!("whsec_{}", "AAAA".repeat(8))).unwrap()];
    let post = async |secrets: &[Secret], id: &str, kind: &str| {
        client.post(&example.url, secrets, id, message(id, kind)).await
    };
    let ids: Vec<String> = (0..5).map(|_| Uuid::new_v4().to_string()).collect();
    for id in ids.iter().chain(&ids[..2]) {
        let posted = post(&ours, id, "plaudit.reward.granted").await;
        assert_eq!(posted.reply, Reply::Accepted, "{posted:?}");
    }
    // The same grant twice at the same moment.
    let id = &ids[4];
    let both =
        (post(&ours, id, "plaudit.reward.granted"), post(&ours, id, "plaudit.reward.granted"));
    let (one, other) = tokio::join!(both.0, both.1);
    assert_eq!((one.reply, other.reply), (Reply::Accepted, Reply::Accepted));
    let tested = post(&ours, &Uuid::new_v4().to_string(), "plaudit.reward.test").await;
    assert_eq!(tested.reply, Reply::Accepted, "{tested:?}");
    let strange = post(&strangers, &Uuid::new_v4().to_string(), "plaudit.reward.granted").await;
    assert_eq!(strange.attempt.status, Some(401));
    ids.iter().map(|id| (id.clone(), 10)).collect()
}

/// The message of the torn line was not answered, so it comes again and is paid.
async fn goes_on_after_a_crash(example: &Example, grants: [String; 2]) {
    let client = Client::new(Duration::from_secs(10), true).unwrap();
    let ours = [Secret::parse(SECRET).unwrap()];
    for grant in grants.iter().chain(&grants) {
        let message = message(grant, "plaudit.reward.granted");
        let posted = client.post(&example.url, &ours, grant, message).await;
        assert_eq!(posted.reply, Reply::Accepted, "{posted:?}");
    }
    assert_eq!(example.lines(), grants.map(|grant| (grant, 10)));
}

fn sorted(mut paid: Vec<(String, i64)>) -> Vec<(String, i64)> {
    paid.sort();
    paid
}

#[tokio::test]
async fn the_payer_in_python_pays_each_grant_once() {
    let example = Example::start("python3", &["payer.py"], &folder().join("python")).await;
    let expected = is_a_payer(&example).await;
    assert_eq!(sorted(example.rows()), sorted(expected));
}

/// Returns true if this program runs and succeeds.
fn works(program: &str, arguments: &[&str]) -> bool {
    let mut run = Command::new(program);
    run.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    run.status().is_ok_and(|status| status.success())
}

/// Prints that an example was skipped, to stderr itself: the test harness swallows what macros
/// print in a test that passes.
fn not_run(what: &str) {
    let _ = writeln!(std::io::stderr(), "NOT RUN: {what}");
}

#[tokio::test]
async fn the_payer_in_go_pays_each_grant_once() {
    if !works("go", &["version"]) {
        return not_run("examples/payers/go: there is no `go` on this machine");
    }
    let binary = std::env::temp_dir().join(format!("plaudit-payer-go-{}", Uuid::new_v4()));
    let (out, go) = (binary.to_str().unwrap(), folder().join("go"));
    let built = Command::new("go").args(["build", "-o", out, "."]).current_dir(&go).status();
    assert!(built.unwrap().success());
    let example = Example::start(out, &[], &go).await;
    let expected = is_a_payer(&example).await;
    assert_eq!(sorted(example.lines()), sorted(expected));
    let (example, grants) = Example::start_after_crash(out, &[], &go).await;
    goes_on_after_a_crash(&example, grants).await;
    std::fs::remove_file(&binary).unwrap();
}

/// Writes a script of TypeScript without its types: library, source and target are its arguments.
const STRIP: &str = r#"
const [lib, from, to] = process.argv.slice(1);
const ts = require(lib), fs = require("fs");
const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
const done = ts.transpileModule(fs.readFileSync(from, "utf8"), { compilerOptions: options, reportDiagnostics: true });
if (done.diagnostics.length > 0) throw new Error(done.diagnostics.map((d) => d.messageText).join("; "));
fs.writeFileSync(to, done.outputText);
"#;

/// Returns the script in a form that `node` runs, or why there is none.
fn runnable(script: &Path) -> Result<PathBuf, &'static str> {
    if !works("node", &["-e", ""]) {
        return Err("there is no `node` on this machine");
    }
    if works("node", &["-e", "process.exit(process.features.typescript ? 0 : 1)"]) {
        return Ok(script.to_owned());
    }
    let compiler = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../.plaudit/typescript/node_modules/typescript");
    if !compiler.exists() {
        return Err("`node` is older than 22.18, and dev/install has fetched no TypeScript");
    }
    let stripped = std::env::temp_dir().join(format!("plaudit-payer-{}.mjs", Uuid::new_v4()));
    let mut strip = Command::new("node");
    strip.args(["-e", STRIP]).arg(compiler).arg(script).arg(&stripped);
    assert!(strip.status().unwrap().success(), "{strip:?}");
    Ok(stripped)
}

#[tokio::test]
async fn the_payer_in_typescript_pays_each_grant_once() {
    let folder = folder().join("typescript");
    let written = folder.join("payer.mts");
    let script = match runnable(&written) {
        Ok(script) => script,
        Err(why) => return not_run(&format!("examples/payers/typescript: {why}")),
    };
    let arguments = [script.to_str().unwrap()];
    let example = Example::start("node", &arguments, &folder).await;
    let expected = is_a_payer(&example).await;
    assert_eq!(sorted(example.lines()), sorted(expected));
    let (example, grants) = Example::start_after_crash("node", &arguments, &folder).await;
    goes_on_after_a_crash(&example, grants).await;
    if script != written {
        std::fs::remove_file(&script).unwrap();
    }
}
