//! The permissions of each role. They are checked before routing, so that a request is refused with
//! 401, then 403, then 404 or 405, and only then for its input.

use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::auth::{Caller, Role, bearer};
use crate::input::decode_segment;
use crate::problem::{Answer, Problem};
use crate::state::Shared;

/// True if the path needs no token.
pub fn is_open(path: &str) -> bool {
    const OPEN: [&str; 6] = ["/", "/livez", "/readyz", "/metrics", "/openapi.json", "/problems"];
    OPEN.contains(&path) || path.starts_with("/problems/")
}

/// Refuses a request without a valid token (401) or whose token does not permit it (403). Passes
/// the caller on to the handler.
pub async fn check(
    State(state): State<Shared>,
    mut request: Request,
    next: Next,
) -> Answer<Response> {
    if is_open(request.uri().path()) {
        return Ok(next.run(request).await);
    }
    let caller = state.keys.authenticate(bearer(request.headers())?).await?;
    if caller.roles.is_empty() {
        return Err(Problem::Forbidden(
            "the token has none of the roles client, producer, auditor, operator",
        ));
    }
    if !permits(&caller, request.method(), request.uri().path()) {
        return Err(Problem::Forbidden(
            "the token's roles do not permit this, or the user is another one",
        ));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// The table of roles. Paths that are not listed pass, and get 404 from the router.
fn permits(caller: &Caller, method: &Method, path: &str) -> bool {
    let is = |role: Role| caller.roles.contains(&role);
    let Some(rest) = path.strip_prefix("/v1/") else { return true };
    let mut segments = rest.split('/');
    let area = segments.next().unwrap_or_default();
    let read = method == Method::GET || method == Method::HEAD;
    match area {
        "users" => {
            let user = segments.next().map(decode_segment);
            let own = || is(Role::Client) && (caller.act_for_all || is_own(caller, user.as_ref()));
            match (segments.next_back(), read) {
                (Some("freezes"), false) => is(Role::Producer) || is(Role::Operator),
                (Some("claim" | "claims"), false) => own(),
                (Some("adjust" | "complete" | "reset" | "restore" | "grants"), false) => {
                    is(Role::Operator)
                }
                _ => own() || is(Role::Auditor) || is(Role::Operator),
            }
        }
        "actions" => is(Role::Producer),
        "audit" => is(Role::Auditor),
        "tasks" | "catalogue" | "streaks" | "grants" | "backfills" if read => {
            is(Role::Auditor) || is(Role::Operator)
        }
        "tasks" | "catalogue" | "streaks" | "grants" | "backfills" | "parked" | "projections" => {
            is(Role::Operator)
        }
        _ => true,
    }
}

fn is_own(caller: &Caller, user: Option<&Option<Cow<'_, str>>>) -> bool {
    user.and_then(Option::as_ref).is_some_and(|user| *user == caller.subject.as_str())
}
