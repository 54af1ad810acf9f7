//! The HTTP interface of Plaudit.
//!
//! Reads come from the read models, writes go through the command queue; no rule is decided here.

mod access;
mod actions;
mod audit;
pub mod auth;
mod backfills;
mod claims;
mod computing;
mod connections;
mod corrections;
mod cors;
mod deadline;
mod etag;
mod exposition;
mod freezes;
mod grants;
mod health;
mod in_flight;
mod input;
mod lingering_close;
pub mod openapi;
mod pages;
mod parked;
mod past_records;
mod position;
pub mod problem;
mod projections;
mod readiness;
mod reason;
mod redelivery;
mod rewards;
mod state;
mod streaks;
mod stream;
mod streams;
mod tasks;
mod telemetry;
mod users;
mod well_formed;
pub mod wire;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use tower::util::option_layer;

pub use computing::Computing;
pub use connections::{ConnectionLimits, serve};
pub use cors::CorsOrigins;
pub use exposition::Exposition;
pub use health::{Health, router as health_router};
pub use in_flight::InFlight;
pub use past_records::{PastLookup, PastRecords, PlannedBackfill};
pub use readiness::{Readiness, ReadinessReport};
use state::Shared;
pub use state::{ApiState, Rebuilds};
pub use streams::Streams;
pub use tasks::plan::{Plan, PlannedChange, PlannedTask};
pub use tasks::publication::PublishedTask;
pub use tasks::warnings::{PlannedWarning, warnings_of};

/// All routes, by path.
fn routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        ("/v1/users/{user}/tasks", get(users::tasks)),
        ("/v1/users/{user}/tasks/{task}", get(users::task)),
        ("/v1/users/{user}/tasks/{task}/claim", post(claims::claim)),
        ("/v1/users/{user}/tasks/{task}/freezes", post(freezes::grant)),
        ("/v1/users/{user}/tasks/{task}/adjust", post(corrections::adjust)),
        ("/v1/users/{user}/tasks/{task}/complete", post(corrections::complete)),
        ("/v1/users/{user}/tasks/{task}/reset", post(corrections::reset)),
        ("/v1/users/{user}/tasks/{task}/restore", post(corrections::restore)),
        ("/v1/users/{user}/grants", post(corrections::grant)),
        ("/v1/users/{user}/claims", post(claims::claim_all)),
        ("/v1/users/{user}/rewards", get(rewards::rewards)),
        ("/v1/users/{user}/stream", get(stream::stream)),
        ("/v1/actions", post(actions::send)),
        ("/v1/audit/users/{user}/history", get(audit::history)),
        ("/v1/audit/users/{user}/state", get(audit::state)),
        ("/v1/audit/users/{user}/verify", get(audit::verify)),
        ("/v1/audit/grants/{grant}", get(audit::explain)),
        ("/v1/audit/operations", get(audit::operations)),
        ("/v1/grants", get(grants::list)),
        ("/v1/grants/{grant}", get(grants::show)),
        ("/v1/grants/{grant}/redeliver", post(redelivery::redeliver)),
        ("/v1/grants/redeliver", post(redelivery::redeliver_many)),
        ("/v1/grants/{grant}/revoke", post(grants::revoke)),
        ("/v1/tasks", get(tasks::list)),
        ("/v1/catalogue", get(tasks::catalogue)),
        ("/v1/tasks/publish", post(tasks::publication::publish)),
        ("/v1/tasks/plan", post(tasks::publication::plan)),
        ("/v1/tasks/simulate", post(tasks::simulation::simulate)),
        ("/v1/tasks/{task}", get(tasks::show)),
        ("/v1/tasks/{task}/versions", get(tasks::versions)),
        ("/v1/tasks/{task}/why", post(tasks::why::why)),
        ("/v1/tasks/{task}/pause", post(tasks::status::pause)),
        ("/v1/tasks/{task}/resume", post(tasks::status::resume)),
        ("/v1/tasks/{task}/retire", post(tasks::status::retire)),
        ("/v1/streaks/amnesties", get(streaks::list).post(streaks::declare)),
        ("/v1/tasks/{task}/backfill", get(backfills::show)),
        ("/v1/tasks/{task}/backfill/pause", post(backfills::pause)),
        ("/v1/tasks/{task}/backfill/resume", post(backfills::resume)),
        ("/v1/tasks/{task}/backfill/cancel", post(backfills::cancel)),
        ("/v1/tasks/{task}/backfill/release", post(backfills::release)),
        ("/v1/backfills", get(backfills::list)),
        ("/v1/projections", get(projections::list)),
        ("/v1/projections/{name}/rebuild", get(projections::show).post(projections::start)),
        ("/v1/projections/{name}/rebuild/pause", post(projections::pause)),
        ("/v1/projections/{name}/rebuild/resume", post(projections::resume)),
        ("/v1/projections/{name}/rebuild/cancel", post(projections::cancel)),
        ("/v1/parked", get(parked::list)),
        ("/v1/parked/{id}/release", post(parked::release)),
        ("/v1/parked/{id}/discard", post(parked::discard)),
        ("/", get(pages::home)),
        ("/problems", get(pages::problems)),
        ("/problems/{name}", get(pages::problem)),
        ("/livez", get(health::livez)),
        ("/readyz", get(health::readyz)),
        ("/metrics", get(health::metrics)),
        ("/openapi.json", get(openapi::show)),
    ]
}

/// Builds the complete interface, ready to be served.
pub fn router(state: ApiState) -> Router {
    let cors = state.cors_origins.layer();
    let state = Shared::new(state);
    let routes = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    routes
        .route_layer(from_fn(well_formed::encoding))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(state.clone(), access::check))
        .layer(from_fn(deadline::request))
        .layer(from_fn(lingering_close::request))
        .layer(option_layer(cors))
        .layer(from_fn(well_formed::host))
        .layer(from_fn(telemetry::request))
        .with_state(state)
}
