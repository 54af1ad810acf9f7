//! The shapes of bodies about the catalogue; see `shapes`.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::audit_shapes::HistoryEvent;
use super::shapes::{Instant, TaskScreen};

shapes! {
    /// The catalogue.
    Tasks {
        /// By id.
        tasks: Vec<TaskEntry>,
        /// For the next page.
        next: Option<String>,
    }
    /// A task in the catalogue.
    TaskEntry {
        /// Its id.
        id: String,
        /// `active`, `paused` or `retired`.
        status: String,
        /// The version in force.
        version: u32,
        /// `ordinary`, `periodic` or `continuous`.
        kind: String,
        /// For grouping.
        category: Option<String>,
        /// For sorting.
        order: i64,
        /// In its default language.
        title: String,
        /// When this version was published.
        published_at: Instant,
    }
    /// A task in the catalogue, with its definition.
    OneTask {
        /// In short.
        #[serde(flatten)]
        entry: TaskEntry,
        /// As published.
        #[schema(value_type = Object)]
        definition: Value,
        /// The tasks that require it or count its completions, retired ones left out.
        needed_by: Vec<String>,
    }
    /// The versions of a task.
    Versions {
        /// The task.
        task: String,
        /// `active`, `paused` or `retired`.
        status: String,
        /// Oldest first.
        versions: Vec<Version>,
        /// For the next page.
        next: Option<u32>,
        /// Who changed the task and why, oldest first.
        changes: Vec<TaskChange>,
    }
    /// A change of a task.
    TaskChange {
        /// `published`, `paused`, `resumed`, `retired` or `amnesty`.
        change: String,
        /// The version that was published.
        version: Option<u32>,
        /// When.
        at: Instant,
        /// Who: the `sub` of a token, or a user of the operating system.
        by: String,
        /// Why, if that was said.
        reason: Option<String>,
        /// The first instant of an amnesty.
        #[schema(required = false, nullable = false)]
        from: Option<Instant>,
        /// The end of an amnesty.
        #[schema(required = false, nullable = false)]
        until: Option<Instant>,
    }
    /// What a publication would change.
    Plan {
        /// Task by task, in the order of the file.
        tasks: Vec<PlannedTask>,
    }
    /// What a publication would change of a task.
    PlannedTask {
        /// The task.
        task: String,
        /// `new`, `changed` or `unchanged`.
        change: String,
        /// The version that would be in force.
        version: u32,
        /// Field by field.
        changes: Vec<FieldChange>,
        /// The users that it concerns; null: they are too many to be counted in time.
        users: Option<UsersReached>,
        /// The past actions that a new task would count; absent: none.
        #[schema(required = false, nullable = false)]
        backfill: Option<PlannedBackfill>,
        /// Legal but suspicious parts of it.
        warnings: Vec<PlannedWarning>,
    }
    /// Something in a task that is legal but suspicious.
    PlannedWarning {
        /// The field as the file has it, such as `rewards[0].amount`; empty for the task as a whole.
        path: String,
        /// The suspicion.
        message: String,
    }
    /// A field that would change.
    FieldChange {
        /// Such as `objective.target`.
        path: String,
        /// As it is; null: absent.
        before: Option<Value>,
        /// As it would be; null: absent.
        after: Option<Value>,
    }
    /// The past actions that a new task would count.
    PlannedBackfill {
        /// The earliest time of an action that counts.
        from: Instant,
        /// The treatment of rewards that past actions earn: `grant`, `hold` or `none`.
        rewards: String,
        /// The records that would be read, by partition; absent: the broker could not be asked.
        #[schema(required = false, nullable = false)]
        partitions: Option<Vec<PastRecords>>,
        /// The reason why it could not.
        #[schema(required = false, nullable = false)]
        unknown: Option<String>,
    }
    /// The records that would be read of a source partition.
    PastRecords {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The number of records, at most.
        records: i64,
        /// Set if Kafka has removed records that may have counted: the timestamp of the oldest that it still has.
        kept_from: Option<Instant>,
    }
    /// Users who have done something for a task, by what would become of the period they are in.
    UsersReached {
        /// It is completed and stays so.
        completed: u64,
        /// It goes on under the version it began with.
        keep_version: u64,
        /// It goes on under the new version.
        adopt_version: u64,
        /// Of `adopt_version`: what they have is enough for the new target.
        adopt_at_target: u64,
        /// It has ended; the next one begins with the new version.
        begin_anew: u64,
        /// They would adopt the new version or begin with it, but are outside its audience. Counted if the audience
        /// changes; absent: none.
        #[schema(required = false, nullable = false)]
        outside_audience: Option<u64>,
    }
    /// What a dry run is to try: `actions`, or a `user`, or both.
    SimulationInput {
        /// A task file, as a text of YAML or as JSON; absent: the catalogue in force is tried.
        #[schema(required = false)]
        file: Option<Value>,
        /// The user on whose history the actions come on top; absent: their users have done nothing yet.
        #[schema(required = false)]
        user: Option<String>,
        /// Up to 1,000, as `CloudEvents`.
        #[schema(required = false, value_type = Vec<Object>)]
        actions: Option<Value>,
    }
    /// What would happen.
    Simulation {
        /// In order.
        actions: Vec<SimulatedAction>,
        /// The tasks that would look different.
        tasks: Vec<SimulatedTask>,
    }
    /// What an action would do.
    SimulatedAction {
        /// Its user.
        user: String,
        /// Its `source`.
        source: String,
        /// Its `id`.
        id: String,
        /// Its `type`.
        r#type: String,
        /// Its `time`.
        time: Instant,
        /// It was decided before, so nothing would happen.
        duplicate: bool,
        /// The events that would be stored.
        #[schema(value_type = Vec<Object>)]
        events: Value,
        /// The tasks that would not move.
        unmoved: Vec<UnmovedTask>,
    }
    /// A task that would not move.
    UnmovedTask {
        /// The task.
        task: String,
        /// Names the reason, such as `filtered_out`.
        reason: String,
        /// The reason for people.
        detail: String,
        /// The `where` that was evaluated.
        #[schema(required = false, nullable = false)]
        r#where: Option<String>,
        /// What the `where` names, with its values; null: it is not there.
        #[schema(required = false, nullable = false, value_type = Object)]
        saw: Option<Value>,
    }
    /// A task that would look different.
    SimulatedTask {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// As it is; null: the user does not have it.
        before: Option<TaskScreen>,
        /// As it would be.
        after: Option<TaskScreen>,
    }
    /// A question about a task of a user.
    WhyInput {
        /// The user.
        user: String,
        /// A `CloudEvent` of the user, to be tried; absent: the task is explained as it stands.
        #[schema(required = false, value_type = Object)]
        action: Option<Value>,
    }
    /// The reasons why a task does not move for a user.
    Why {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// As of when.
        at: Instant,
        /// The obstacles to any action now; empty: a matching action would count.
        obstacles: Vec<Obstacle>,
        /// What delays the rewards of an action that counts now; empty: they are granted with it.
        delays: Vec<Obstacle>,
        /// The effect of the given action on the task.
        action: Option<ActionVerdict>,
        /// The last actions that moved nothing although they matched, oldest first.
        refused: Vec<HistoryEvent>,
        /// The task as the user sees it; null: the user does not have it.
        screen: Option<TaskScreen>,
    }
    /// Something that stops a task or delays its rewards.
    Obstacle {
        /// Names it, such as `locked`.
        reason: String,
        /// The same for people, and what to do.
        detail: String,
    }
    /// The effect of an action on one task.
    ActionVerdict {
        /// It was decided before, so nothing would happen.
        duplicate: bool,
        /// The events of the task.
        #[schema(value_type = Vec<Object>)]
        events: Value,
        /// The reason why it would not move; null: it would.
        unmoved: Option<UnmovedTask>,
    }
    /// The status of a task.
    StatusChanged {
        /// The task.
        task: String,
        /// `active`, `paused` or `retired`.
        status: String,
        /// The tasks that require it or count its completions, if it is not active; absent: none.
        #[schema(required = false, nullable = false)]
        needed_by: Option<Vec<String>>,
    }
    /// One version of a task.
    Version {
        /// From 1.
        version: u32,
        /// When it was published.
        published_at: Instant,
        /// As published.
        #[schema(value_type = Object)]
        definition: Value,
    }
    /// What a publication did.
    Published {
        /// Task by task, in the order of the file.
        published: Vec<PublishedTask>,
    }
    /// What a publication did to a task.
    PublishedTask {
        /// The task.
        task: String,
        /// The version in force.
        version: u32,
        /// Whether it is new.
        changed: bool,
        /// Legal but suspicious parts of it; absent: none.
        #[schema(required = false, nullable = false)]
        warnings: Option<Vec<PlannedWarning>>,
    }
}
