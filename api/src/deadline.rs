//! The deadline of a request: it is answered within 5 s, whatever the database does. The time that
//! a client takes to send its body or has asked to wait for a position does not count; both have
//! limits of their own.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::problem::{Answer, Problem};

/// Time limit for a handler. With the time to send the refusal it stays below 5 s.
pub const WORK_MAX: Duration = Duration::from_millis(4_500);

tokio::task_local! {
    static DEADLINE: watch::Sender<Instant>;
}

/// Answers 503 if the handler does not finish in time. The handler is dropped, but commands it has
/// sent to the database may still be applied.
pub async fn request(request: Request, next: Next) -> Answer<Response> {
    let (deadline, watched) = watch::channel(Instant::now() + WORK_MAX);
    tokio::select! {
        biased;
        response = DEADLINE.scope(deadline, next.run(request)) => Ok(response),
        () = passed(watched) => {
            metrics::counter!("plaudit_http_deadlines_exceeded_total").increment(1);
            Err(Problem::Unavailable(
                "the database does not answer in time; what was sent may still be applied",
            ))
        }
    }
}

async fn passed(mut deadline: watch::Receiver<Instant>) {
    loop {
        let at = *deadline.borrow_and_update();
        tokio::select! {
            () = sleep_until(at) => return,
            changed = deadline.changed() => {
                // Without a sender the handler has finished, and its answer wins the `select!`.
                if changed.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }
}

/// Runs a wait that does not count towards the deadline, and must end within `bound`. Afterwards
/// the request has the whole time of [`WORK_MAX`] again.
pub async fn not_counted<T>(bound: Duration, wait: impl Future<Output = T>) -> T {
    move_to(bound + WORK_MAX);
    let waited = wait.await;
    move_to(WORK_MAX);
    waited
}

fn move_to(from_now: Duration) {
    // There is no deadline outside a request, as in a unit test.
    let _ = DEADLINE.try_with(|deadline| deadline.send_replace(Instant::now() + from_now));
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    async fn status_and_seconds(router: Router) -> (u16, u64) {
        let started = Instant::now();
        let sent = Request::get("/").body(Body::empty()).unwrap();
        let response = router.layer(from_fn(request)).oneshot(sent).await.unwrap();
        (response.status().as_u16(), started.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_hangs_is_answered_within_five_seconds() {
        let hangs = Router::new().route("/", get(std::future::pending::<&'static str>));
        assert_eq!(status_and_seconds(hangs).await, (503, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_the_client_is_not_the_handlers() {
        async fn waits_and_hangs() {
            not_counted(Duration::from_secs(10), tokio::time::sleep(Duration::from_secs(1))).await;
            std::future::pending::<()>().await;
        }
        async fn waits() {
            let client = tokio::time::sleep(Duration::from_secs(9));
            not_counted(Duration::from_secs(10), client).await;
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        assert_eq!(status_and_seconds(Router::new().route("/", get(waits))).await, (200, 13));
        let hangs = Router::new().route("/", get(waits_and_hangs));
        assert_eq!(status_and_seconds(hangs).await, (503, 5));
    }
}
