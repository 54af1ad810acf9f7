//! The shapes of bodies about the catalogue; see `shapes`.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::audit_shapes::HistoryEvent;
use super::shapes::{Instant, TaskScreen};

shapes! {
    /// A page of the catalogue.
    Tasks {
        /// Ordered by id.
        tasks: Vec<TaskEntry>,
        /// The `after` of the next page; null on the last one.
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
        /// A group to show it in.
        category: Option<String>,
        /// The sort key for display.
        order: i64,
        /// The title in the task's default language.
        title: String,
        /// The time at which this version was published.
        published_at: Instant,
    }
    /// A task in the catalogue, with its definition.
    OneTask {
        /// The entry as in the list.
        #[serde(flatten)]
        entry: TaskEntry,
        /// The definition as published.
        #[schema(value_type = Object)]
        definition: Value,
        /// The tasks that require it or count its completions, except retired ones.
        needed_by: Vec<String>,
    }
    /// The versions of a task.
    Versions {
        /// The task.
        task: String,
        /// `active`, `paused` or `retired`.
        status: String,
        /// Versions, oldest first.
        versions: Vec<Version>,
        /// The `after` of the next page; null on the last one.
        next: Option<u32>,
        /// All changes of the task with their authors and reasons, oldest first.
        changes: Vec<TaskChange>,
    }
    /// A change of a task.
    TaskChange {
        /// `published`, `paused`, `resumed`, `retired` or `amnesty`.
        change: String,
        /// The version, if one was published.
        version: Option<u32>,
        /// The time of the change.
        at: Instant,
        /// The author: the `sub` of a token, or a user of the operating system.
        by: String,
        /// The reason, if one was given.
        reason: Option<String>,
        /// The first instant of an amnesty.
        #[schema(required = false, nullable = false)]
        from: Option<Instant>,
        /// The first instant after an amnesty.
        #[schema(required = false, nullable = false)]
        until: Option<Instant>,
    }
    /// The changes that a publication would make.
    Plan {
        /// In the order of the file.
        tasks: Vec<PlannedTask>,
    }
    /// The change that a publication would make to one task.
    PlannedTask {
        /// The task.
        task: String,
        /// `new`, `changed` or `unchanged`.
        change: String,
        /// The version that would be in force afterwards.
        version: u32,
        /// The changed fields.
        changes: Vec<FieldChange>,
        /// The users that it reaches; null if counting them takes too long.
        users: Option<UsersReached>,
        /// The past actions that a new task would count; absent if it counts none.
        #[schema(required = false, nullable = false)]
        backfill: Option<PlannedBackfill>,
        /// Valid but questionable parts of the definition.
        warnings: Vec<PlannedWarning>,
    }
    /// A valid but questionable part of a task.
    PlannedWarning {
        /// The path of the field in the file, such as `rewards[0].amount`; empty for the task as a
        /// whole.
        path: String,
        /// The suspicion and its consequence.
        message: String,
    }
    /// A field that would change.
    FieldChange {
        /// The path, such as `objective.target`.
        path: String,
        /// The value in force; null if the field is absent.
        before: Option<Value>,
        /// The value afterwards; null if the field is absent.
        after: Option<Value>,
    }
    /// The past actions that a new task would count.
    PlannedBackfill {
        /// The earliest time of an action that counts.
        from: Instant,
        /// The treatment of rewards that past actions earn: `grant`, `hold` or `none`.
        rewards: String,
        /// The records that would be read, by partition; absent if the brokers could not be asked.
        #[schema(required = false, nullable = false)]
        partitions: Option<Vec<PastRecords>>,
        /// The reason why the brokers could not be asked.
        #[schema(required = false, nullable = false)]
        unknown: Option<String>,
    }
    /// The records of a source partition that would be read.
    PastRecords {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// An upper bound of the number of records.
        records: i64,
        /// The timestamp of the oldest record that Kafka still has. Set if Kafka has removed
        /// records that might have counted.
        kept_from: Option<Instant>,
    }
    /// Counts the users who have done something for a task, by what happens to their present
    /// period.
    UsersReached {
        /// The period is completed and stays so.
        completed: u64,
        /// The period continues under the version it began with.
        keep_version: u64,
        /// The period continues under the new version.
        adopt_version: u64,
        /// Those of `adopt_version` whose progress already reaches the new target.
        adopt_at_target: u64,
        /// The period has ended; the next one begins under the new version.
        begin_anew: u64,
        /// Users outside the new audience, among those whose period adopts the new version or begins
        /// under it. Counted only if the audience changes; absent if there are none.
        #[schema(required = false, nullable = false)]
        outside_audience: Option<u64>,
    }
    /// The input of a dry run: `actions`, a `user`, or both.
    SimulationInput {
        /// A task file, as a string of YAML or as JSON. Absent: the catalogue in force is used.
        #[schema(required = false)]
        file: Option<Value>,
        /// The user whose history the actions come on top of. Absent: each action's user starts
        /// with an empty history.
        #[schema(required = false)]
        user: Option<String>,
        /// Up to 1,000 actions, as `CloudEvents`.
        #[schema(required = false, value_type = Vec<Object>)]
        actions: Option<Value>,
    }
    /// The outcome of a dry run.
    Simulation {
        /// In the order of the input.
        actions: Vec<SimulatedAction>,
        /// The tasks that would look different.
        tasks: Vec<SimulatedTask>,
    }
    /// The effect of an action.
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
        /// True if an action with this identity was decided before, so that nothing would happen.
        duplicate: bool,
        /// The reason why the action would be parked now, as one from the future; null if it would
        /// not. Its events are those of its release.
        parked: Option<String>,
        /// The events that would be stored, in order.
        #[schema(value_type = Vec<Object>)]
        events: Value,
        /// The tasks that would not move.
        unmoved: Vec<UnmovedTask>,
    }
    /// A task that would not move.
    UnmovedTask {
        /// The task.
        task: String,
        /// The machine-readable reason, such as `filtered_out`.
        reason: String,
        /// A description of the reason for people.
        detail: String,
        /// The `where` of the objective or of the audience that was evaluated, if it is the reason.
        #[schema(required = false, nullable = false)]
        r#where: Option<String>,
        /// The fields that the `where` names, with their values; null for a field that does not
        /// exist.
        #[schema(required = false, nullable = false, value_type = Object)]
        saw: Option<Value>,
    }
    /// A task that would look different.
    SimulatedTask {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// The present screen; null if the user does not have the task.
        before: Option<TaskScreen>,
        /// The screen after the actions; null if the user would not have the task.
        after: Option<TaskScreen>,
    }
    /// The request to explain a task of a user.
    WhyInput {
        /// The user.
        user: String,
        /// A `CloudEvent` of the user to try. Absent: the task is explained as it stands.
        #[schema(required = false, value_type = Object)]
        action: Option<Value>,
    }
    /// The reasons why a task does not move for a user.
    Why {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// The time as of which the answer holds.
        at: Instant,
        /// The obstacles to any action now. Empty if a matching action would count.
        obstacles: Vec<Obstacle>,
        /// The reasons for which the rewards of an action that counts now are delayed. Empty if
        /// they are granted with it.
        delays: Vec<Obstacle>,
        /// The effect of the given action on the task.
        action: Option<ActionVerdict>,
        /// The last actions that moved nothing although they matched, oldest first.
        refused: Vec<HistoryEvent>,
        /// The task as the user sees it; null if the user does not have the task.
        screen: Option<TaskScreen>,
    }
    /// Something that stops a task or delays its rewards.
    Obstacle {
        /// The machine-readable name, such as `locked`.
        reason: String,
        /// A description for people, with the remedy.
        detail: String,
    }
    /// The effect of an action on one task.
    ActionVerdict {
        /// True if an action with this identity was decided before, so that nothing would happen.
        duplicate: bool,
        /// The reason why the action would be parked now, as one from the future; null if it would
        /// not. Its events are those of its release.
        parked: Option<String>,
        /// The events of the task that would be stored.
        #[schema(value_type = Vec<Object>)]
        events: Value,
        /// The reason why the task would not move; null if it would.
        unmoved: Option<UnmovedTask>,
    }
    /// The status of a task.
    StatusChanged {
        /// The task.
        task: String,
        /// `active`, `paused` or `retired`.
        status: String,
        /// The tasks that require it or count its completions, unless it is active; absent if there
        /// are none.
        #[schema(required = false, nullable = false)]
        needed_by: Option<Vec<String>>,
    }
    /// One version of a task.
    Version {
        /// The number of the version, from 1.
        version: u32,
        /// The time at which it was published.
        published_at: Instant,
        /// The definition as published.
        #[schema(value_type = Object)]
        definition: Value,
    }
    /// The effect of a publication.
    Published {
        /// In the order of the file.
        published: Vec<PublishedTask>,
    }
    /// The effect of a publication on one task.
    PublishedTask {
        /// The task.
        task: String,
        /// The version in force.
        version: u32,
        /// True if the version is new; false if the definition was already in force.
        changed: bool,
        /// Valid but questionable parts of the definition; absent if there are none.
        #[schema(required = false, nullable = false)]
        warnings: Option<Vec<PlannedWarning>>,
    }
}
