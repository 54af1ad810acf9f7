//! The causes of refusals: status, `type`, and the remedy for the client. The pages under
//! `/problems/` are generated from this table.

use axum::http::StatusCode;

/// A cause of refusals.
#[derive(Debug, PartialEq, Eq)]
pub struct Cause {
    /// The last part of `type`. Stable: clients compare it.
    pub name: &'static str,
    /// The HTTP status of such a refusal.
    pub status: StatusCode,
    /// The cause in a few words.
    pub title: &'static str,
    /// An explanation for people.
    pub meaning: &'static str,
    /// Advice on what to do, for people.
    pub remedy: &'static str,
}

macro_rules! causes {
    ($($constant:ident $name:literal $status:ident $title:literal $meaning:literal $remedy:literal)*) => {
        $(
            #[doc = $meaning]
            pub static $constant: Cause = Cause {
                name: $name, status: StatusCode::$status, title: $title, meaning: $meaning, remedy: $remedy,
            };
        )*
        /// All causes, in the order of the table.
        pub static ALL: &[&Cause] = &[$(&$constant),*];
    };
}

causes! {
    BAD_INPUT "bad-input" BAD_REQUEST "Bad input"
        "Something in the path, the query, the headers or the body is not as described."
        "Correct what `errors` names: each entry has the place (a JSON Pointer into the body, or the name of a parameter) and what is expected."
    MALFORMED_REQUEST "malformed-request" BAD_REQUEST "Not a valid HTTP request"
        "The bytes that arrived are not a valid HTTP/1.1 request."
        "Use an HTTP library, and check what proxies between the client and Plaudit do to requests."
    UNAUTHENTICATED "unauthenticated" UNAUTHORIZED "No valid token"
        "The request has no bearer token, or one that is expired, not signed by a trusted key, or lacks a claim."
        "Send `Authorization: Bearer` with a valid token; `detail` says what is wrong with this one."
    FORBIDDEN "forbidden" FORBIDDEN "Not allowed with this token"
        "The token is valid, but its roles do not permit this request, or it belongs to another user."
        "Use a token with the role that the path needs. A client reads and claims for its own `sub` only, unless it has `act_for: \"*\"`."
    NO_SUCH_PATH "no-such-path" NOT_FOUND "No such path"
        "Plaudit has nothing at this path."
        "Compare the path with /openapi.json. A slash at the end makes another path."
    UNKNOWN_TASK "unknown-task" NOT_FOUND "No such task"
        "The catalogue has no task with this id, or the user does not have it."
        "Check the id with `GET /v1/tasks`; publish the task first if it is new."
    UNKNOWN_MILESTONE "unknown-milestone" NOT_FOUND "No such milestone"
        "The task has no milestone at this value."
        "Take `at` from the task screen's `milestones`."
    UNKNOWN_PERIOD "unknown-period" NOT_FOUND "No such period"
        "The key is not a period of this task."
        "Take the key from the task screen's `period`."
    UNKNOWN_GRANT "unknown-grant" NOT_FOUND "No such grant"
        "Nothing was granted under this id."
        "Take the id from a receipt, from `GET /v1/users/{user}/rewards` or from the payer's record."
    UNREADABLE_HISTORY "unreadable-history" CONFLICT "An event of the user can't be read"
        "The log holds an event of this user that this program can't read: it is damaged, or newer than the program."
        "`GET /v1/audit/users/{user}/history` shows the row as it is stored. Run the version that wrote it, or have a database administrator repair the row."
    UNKNOWN_PARKED "unknown-parked" NOT_FOUND "No such parked record"
        "No record with this id is or was parked."
        "`GET /v1/parked` lists them."
    PARKED_RESOLVED "parked-resolved" CONFLICT "No longer parked"
        "This record was already released or discarded; `detail` says by whom and when."
        "Do nothing."
    PARKED_BEHIND "parked-behind" CONFLICT "It waits behind another record"
        "An earlier record of the same user is parked, and what came later waits behind it."
        "Release or discard the record that `detail` names. This one follows automatically."
    PARKED_TOO_EARLY "parked-too-early" CONFLICT "From the future"
        "The time of the action is in the future."
        "Release it after the time that `detail` names."
    PARKED_UNAPPLIED "parked-unapplied" CONFLICT "It still can't be applied"
        "The record can't be understood or applied, as before; `detail` says why."
        "Fix the cause, such as the source file, and release the record again; or discard it with a reason."
    UNKNOWN_PROJECTION "unknown-projection" NOT_FOUND "No such projection"
        "No projection has this name."
        "`GET /v1/projections` lists them."
    NO_REBUILD "no-rebuild" NOT_FOUND "Never rebuilt"
        "This projection was never rebuilt, so there is nothing to show."
        "Start a rebuild with `POST` to the same path."
    NO_BACKFILL "no-backfill" NOT_FOUND "The task has no backfill"
        "The task was not published with `backfill`, or there is no such task."
        "`GET /v1/backfills` lists them. Only a new task can count past actions."
    METHOD_NOT_ALLOWED "method-not-allowed" METHOD_NOT_ALLOWED "Method not allowed"
        "The path exists, but does not take this method."
        "Use one of the methods that the header `Allow` names."
    REQUEST_TIMEOUT "request-timeout" REQUEST_TIMEOUT "The body took too long"
        "The body of the request did not arrive within 30 s."
        "Send the request again, in smaller pieces if the connection is slow."
    NOTHING_CLAIMABLE "nothing-claimable" CONFLICT "Nothing to claim"
        "Nothing of the task can be claimed now. `state` is the task's state."
        "Read the task screen again and offer a claim only where the state is `claimable`."
    NO_STREAK "no-streak" CONFLICT "The task has no streak"
        "Only continuous tasks have a streak that a freeze could protect."
        "Check the task's `kind` with `GET /v1/tasks/{task}`."
    NOT_REDELIVERABLE "not-redeliverable" CONFLICT "The reward can't be delivered again"
        "The reward is not claimed, or it was delivered, which is final."
        "Look at its state with `GET /v1/grants/{grant}`."
    NEW_PAYER "new-payer" CONFLICT "Another payer would get the reward"
        "The reward was sent to a payer already, and goes to another one by the settings in force. Both might pay it; `detail` names their channels."
        "Find out whether the first one has paid it. If it has not, or if it is the same payer, send `to_new_payer`."
    NOT_REVOCABLE "not-revocable" CONFLICT "The reward can't be revoked"
        "The reward is being delivered, has come to its end, or can only be claimed together with others; `detail` says which."
        "Look at its state with `GET /v1/grants/{grant}`. One that is being delivered can be revoked once it has failed; send `whole_milestone` to revoke unclaimed rewards together."
    NOT_CORRECTABLE "not-correctable" CONFLICT "The progress can't be corrected"
        "The period is closed, is a step of a streak, or already has the requested progress; `detail` says which."
        "Read the task screen again. For a closed period, grant the reward by hand."
    TASK_RETIRED "task-retired" CONFLICT "The task is retired"
        "A retired task can't be changed any more."
        "Publish a task with a new id."
    REBUILD_RUNNING "rebuild-running" CONFLICT "A rebuild is running"
        "Another process is rebuilding this projection."
        "Wait for it, or pause or cancel it first."
    NO_REBUILD_RUNNING "no-rebuild-running" CONFLICT "No rebuild is running"
        "No rebuild is running that could be paused, resumed or cancelled."
        "`GET` the rebuild to see its state; `POST` to start one."
    BACKFILL_OVER "backfill-over" CONFLICT "The backfill is over"
        "The backfill is done or cancelled, so it can't be paused, resumed or cancelled any more."
        "Do nothing."
    BACKFILL_UNFINISHED "backfill-unfinished" CONFLICT "The backfill is not over"
        "The backfill may still count actions and hold rewards back."
        "Wait until it is done, or cancel it; then release its rewards."
    NOTHING_HELD "nothing-held" CONFLICT "The backfill holds nothing back"
        "Only a task that was published with `backfill: { rewards: hold }` holds rewards back."
        "Do nothing."
    NO_ROOM_TO_SWAP "no-room-to-swap" CONFLICT "No room for the swap of a rebuild"
        "Writers or readers, or transactions that keep lanes locked, left no room to put the new version in place. It is kept."
        "End the transactions that `detail` names, or wait until there is less load; then start again."
    TOO_LARGE "too-large" PAYLOAD_TOO_LARGE "Too large"
        "The body, or the number of actions in it, is above the limit that `detail` names."
        "Send it in several requests."
    URI_TOO_LONG "uri-too-long" URI_TOO_LONG "The address is too long"
        "The path and query are longer than any that Plaudit has."
        "Check what the client puts into the address."
    UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "Unsupported media type"
        "The body has an unsupported media type or content encoding."
        "Send what `detail` names, uncompressed."
    HEADERS_TOO_LARGE "headers-too-large" REQUEST_HEADER_FIELDS_TOO_LARGE "The headers are too large"
        "The head of the request has more than 64 KiB or 100 headers."
        "Check the size of the token and of what proxies add."
    INTERNAL "internal" INTERNAL_SERVER_ERROR "Internal error"
        "An error in Plaudit, logged under the id in the header `X-Request-Id`."
        "Report it with that id. Reads and claims with an `Idempotency-Key` may be sent again."
    UNAVAILABLE "unavailable" SERVICE_UNAVAILABLE "Not available now"
        "Something that Plaudit needs does not answer in time, or too many requests are waiting. The request may still be applied."
        "Send the same request again after `Retry-After` seconds: actions and claims count once, however often they arrive."
    POSITION_NOT_REACHED "position-not-reached" SERVICE_UNAVAILABLE "Position not reached"
        "The position of `at_least` was not reached in time."
        "Send `Prefer: wait=N` to wait up to N seconds (10 at most), or ask again after `Retry-After`."
    NOT_READY "not-ready" SERVICE_UNAVAILABLE "Not ready"
        "A part of this process can't do its work; `reasons` says which and why."
        "For operators: see `reasons` and docs/operations.md. Load balancers should use another process."
}

/// Returns the cause with this name.
pub fn named(name: &str) -> Option<&'static Cause> {
    ALL.iter().copied().find(|cause| cause.name == name)
}
