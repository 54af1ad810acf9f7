//! TLS to PostgreSQL, with a private certificate authority.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use plaudit_embedded::{Postgres, PostgresOptions, ScratchDir};

use crate::program::{plaudit, text};

fn run(dir: &Path, program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "{program}: {}", text(&done.stderr));
}

const NEW_KEY: [&str; 6] =
    ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

fn make_authority(dir: &Path, name: &str) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
    let subject = format!("/CN={name}");
    let own = ["-x509", "-days", "2", "-subj", &subject, "-keyout", &key, "-out", &certificate];
    run(dir, "openssl", &[&NEW_KEY[..], &own].concat());
}

/// A certificate for `localhost`, signed by the first authority.
fn make_certificate(dir: &Path) {
    let own = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let files = ["-keyout", "server.key", "-out", "server.csr"];
    run(dir, "openssl", &[&NEW_KEY[..], &own, &files].concat());
    let signed = "x509 -req -in server.csr -CA first.crt -CAkey first.key -CAcreateserial -days 2 \
                  -copy_extensions copyall -out server.crt";
    run(dir, "openssl", &signed.split_whitespace().collect::<Vec<_>>());
    let key = dir.join("server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn the_certificate_of_the_database_is_checked_with_verify_full() {
    let scratch = ScratchDir::create("tls").unwrap();
    let dir = scratch.path();
    make_authority(dir, "first");
    make_authority(dir, "second");
    make_certificate(dir);
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let options = PostgresOptions::scratch()
        .with("ssl", "on")
        .with("ssl_cert_file", &path("server.crt"))
        .with("ssl_key_file", &path("server.key"));
    let data = dir.join("postgres");
    let start = || Postgres::start(&data, options.clone());
    let postgres = match start().await {
        Ok(postgres) => postgres,
        // As root, PostgreSQL runs in a namespace where it owns these files, or else as `postgres`.
        Err(_) => {
            run(dir, "chown", &["postgres", "server.key"]);
            start().await.unwrap()
        }
    };
    let migrate = |host: &str, authority: &str| {
        let url = postgres.url("plaudit").replace("127.0.0.1", host);
        let url = format!("{url}?sslmode=verify-full&sslrootcert={}", path(authority));
        plaudit(
            &["migrate"],
            &[("PLAUDIT_DATABASE_URL", &url), ("PLAUDIT_DATABASE_STARTUP_TIMEOUT", "PT5S")],
        )
    };
    let done = migrate("localhost", "first.crt");
    assert!(done.status.success(), "{}", text(&done.stderr));
    for (host, authority) in [("localhost", "second.crt"), ("127.0.0.1", "first.crt")] {
        let refused = migrate(host, authority);
        assert_eq!(refused.status.code(), Some(1), "{host} {authority}");
        let message = text(&refused.stderr);
        assert!(message.contains("invalid peer certificate"), "{host} {authority}: {message}");
        assert!(!message.contains("trying for"), "waiting changes nothing: {message}");
    }
}
