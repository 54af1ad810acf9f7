//! `/openapi.json`: the description of the API, generated from the annotations of the handlers.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::Operation;
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, PathItem, Ref, RefOr, Required, ResponseBuilder, ServerBuilder,
};
use utoipa::{Modify, OpenApi, ToSchema as _};

use crate::access::is_open;
use crate::wire::{operator_shapes, shapes};
use crate::{
    actions, audit, backfills, claims, corrections, freezes, grants, health, pages, parked,
    problem, projections, redelivery, rewards, streaks, stream, tasks, users,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Plaudit",
        description = "Tasks and rewards. Every 4xx and 5xx answer is a problem (RFC 9457); every answer about a \
            user says at which position of the log it was true, and can be asked for at least a position.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        users::tasks, users::task, claims::claim, claims::claim_all, freezes::grant, corrections::adjust, corrections::complete, corrections::reset, corrections::restore, corrections::grant, rewards::rewards, stream::stream, actions::send,
        audit::history, audit::state, audit::verify, audit::explain, audit::operations, grants::list, grants::show, redelivery::redeliver, redelivery::redeliver_many, grants::revoke, tasks::list, tasks::catalogue, tasks::show, tasks::versions, tasks::publication::publish,
        tasks::publication::plan, tasks::simulation::simulate, tasks::why::why, tasks::status::pause, tasks::status::resume,
        tasks::status::retire, streaks::list, streaks::declare, backfills::list, backfills::show, backfills::pause, backfills::resume, backfills::cancel,
        backfills::release,
        projections::list, projections::show, projections::start, projections::pause, projections::resume,
        projections::cancel, parked::list, parked::release, parked::discard, pages::home, pages::problems, pages::problem, health::livez, health::readyz, health::metrics, show
    ),
    tags(
        (name = "users", description = "A user's task screen, rewards and claims. Role `client`, for its own `sub` or with `act_for`; freezes are granted by `producer` and `operator`, corrections made by `operator`."),
        (name = "actions", description = "Actions over HTTP, answered when they are durable. Role `producer`."),
        (name = "audit", description = "A user's history: the events, their causes, and the task screen at any time. Role `auditor`."),
        (name = "grants", description = "Rewards on their way to the paying systems. Role `operator`; reading also `auditor`."),
        (name = "tasks", description = "The catalogue of tasks and its publication. Role `operator`; reading also `auditor`."),
        (name = "streaks", description = "Amnesties, over which no streak breaks. Role `operator`; reading also `auditor`."),
        (name = "backfills", description = "New tasks that count past actions. Role `operator`; reading also `auditor`."),
        (name = "projections", description = "Read models and their rebuilds. Role `operator`."),
        (name = "parked", description = "Records that could not be understood or applied. Role `operator`."),
        (name = "health", description = "Health, metrics and pages for people. No token.")
    ),
    components(schemas(problem::ProblemBody)),
    modifiers(&Common)
)]
struct Description;

/// Adds the parts that all operations have in common.
struct Common;

/// The security scheme of all operations that need a token.
const BEARER: &str = "bearer";

impl Modify for Common {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let here = ServerBuilder::new()
            .url("/")
            .description(Some("The server that sent this description"));
        openapi.servers = Some(vec![here.build()]);
        let components = openapi.components.get_or_insert_default();
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(
                "Claims: `sub`, `roles` (client, producer, auditor, operator), `exp`, `act_for`.",
            ));
        components
            .security_schemes
            .insert(BEARER.to_owned(), SecurityScheme::Http(token.build()).into());
        for (path, item) in &mut openapi.paths.paths {
            for operation in operations(item) {
                if let Some(RefOr::T(body)) = &mut operation.request_body {
                    let required =
                        if may_be_absent(body) { Required::False } else { Required::True };
                    body.required = Some(required);
                }
                if is_open(path) {
                    // An empty list, so that generated clients ask for no token.
                    operation.security = Some(vec![]);
                    refuse(operation, &[("500", "A fault in Plaudit")]);
                    continue;
                }
                operation.security = Some(vec![SecurityRequirement::new(BEARER, [""; 0])]);
                refuse(
                    operation,
                    &[
                        ("400", "Bad input; `errors` names each place"),
                        ("401", "No valid token"),
                        ("403", "Not allowed with this token"),
                        ("404", "Not found"),
                        ("500", "A fault in Plaudit"),
                        (
                            "503",
                            "Not available now, or the position is not reached yet; `Retry-After` says when to try again",
                        ),
                    ],
                );
            }
        }
    }
}

/// True if the body may be left out: it is a claim, or holds only an optional reason.
fn may_be_absent(body: &RequestBody) -> bool {
    let optional = [shapes::Claim::name(), operator_shapes::Reason::name()];
    let optional = optional.map(|name| RefOr::Ref(Ref::from_schema_name(name)));
    body.content.values().any(|content| match content {
        RefOr::T(content) => content.schema.as_ref().is_some_and(|s| optional.contains(s)),
        RefOr::Ref(_) => false,
    })
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post].into_iter().filter_map(Option::as_mut)
}

fn refuse(operation: &mut Operation, refusals: &[(&str, &str)]) {
    let schema = Ref::from_schema_name("ProblemBody");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    for (status, description) in refusals {
        let response = ResponseBuilder::new()
            .description(*description)
            .content(problem::MEDIA_TYPE, content.clone());
        operation
            .responses
            .responses
            .entry((*status).to_owned())
            .or_insert_with(|| response.build().into());
    }
}

static JSON: LazyLock<String> = LazyLock::new(|| {
    Description::openapi().to_pretty_json().expect("the description is plain data")
});

/// `GET /openapi.json`.
#[utoipa::path(get, path = "/openapi.json", tag = "health", operation_id = "showOpenApi",
    responses((status = 200, description = "This description", body = Object)))]
pub async fn show() -> Response {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], JSON.as_str())
        .into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let described: BTreeSet<_> = Description::openapi().paths.paths.into_keys().collect();
        let routed: BTreeSet<_> =
            crate::routes().into_iter().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(described, routed);
    }
    #[test]
    fn a_body_is_optional_if_all_of_its_fields_are() {
        let optional = |path: &str| {
            let described = serde_json::to_value(Description::openapi()).unwrap();
            described["paths"][path]["post"]["requestBody"]["required"] == false
        };
        let status = ["pause", "resume", "retire"].map(|end| format!("/v1/tasks/{{task}}/{end}"));
        let backfill = ["pause", "resume", "cancel", "release"]
            .map(|end| format!("/v1/tasks/{{task}}/backfill/{end}"));
        let rebuild = ["", "/pause", "/resume", "/cancel"]
            .map(|end| format!("/v1/projections/{{name}}/rebuild{end}"));
        for path in status.iter().chain(&backfill).chain(&rebuild) {
            assert!(optional(path), "{path}");
        }
        assert!(optional("/v1/users/{user}/tasks/{task}/claim"));
        assert!(optional("/v1/parked/{id}/release") && !optional("/v1/parked/{id}/discard"));
        for path in ["/v1/grants/{grant}/revoke", "/v1/tasks/publish", "/v1/tasks/simulate"] {
            assert!(!optional(path), "{path}");
        }
    }
}
