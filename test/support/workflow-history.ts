/** Outcome of an activity in a history. */
export type ActivityOutcome = 'completed' | 'failed' | 'timed-out' | 'canceled';

/** An activity in a workflow's history. Times are Unix ms. */
export interface HistoryActivity {
  name: string;
  scheduledMs: number;
  /** Number of the latest attempt, from 1; undefined before the history shows one. */
  attempt?: number;
  /** Both undefined while the activity is running. */
  endedMs?: number;
  outcome?: ActivityOutcome;
}

/** A child workflow that a history has started. */
export interface HistoryChild {
  workflowId: string;
  runId: string;
}

/** Part of a workflow's history that tests read. */
export interface WorkflowHistory {
  activities: HistoryActivity[];
  children: HistoryChild[];
  /** Time at which cancellation of the workflow was requested, if it was. */
  cancelRequestedMs?: number;
}

/** One event of `temporal workflow show -o json`, with the fields that are read here. */
interface HistoryEvent {
  eventId: string;
  eventTime: string;
  eventType: string;
  [attributes: string]: unknown;
}

const outcomes: Readonly<Record<string, ActivityOutcome>> = {
  EVENT_TYPE_ACTIVITY_TASK_COMPLETED: 'completed',
  EVENT_TYPE_ACTIVITY_TASK_FAILED: 'failed',
  EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: 'timed-out',
  EVENT_TYPE_ACTIVITY_TASK_CANCELED: 'canceled',
};

/** Parses the output of `temporal workflow show -o json`. */
export function parseHistory(json: string): WorkflowHistory {
  const { events } = JSON.parse(json) as { events: HistoryEvent[] };
  const scheduled = new Map<string, HistoryActivity>();
  const history: WorkflowHistory = { activities: [], children: [] };
  for (const event of events) {
    const timeMs = Date.parse(event.eventTime);
    const attributes = Object.entries(event).find(([key]) => key.endsWith('EventAttributes'))?.[1];
    const { activityType, scheduledEventId, attempt, workflowExecution } = (attributes ?? {}) as {
      activityType?: { name: string };
      scheduledEventId?: string;
      attempt?: number;
      workflowExecution?: HistoryChild;
    };
    const outcome = outcomes[event.eventType];
    const activity = scheduled.get(scheduledEventId ?? '');
    if (event.eventType === 'EVENT_TYPE_ACTIVITY_TASK_SCHEDULED') {
      const activity = { name: activityType?.name ?? '', scheduledMs: timeMs };
      scheduled.set(event.eventId, activity);
      history.activities.push(activity);
    } else if (event.eventType === 'EVENT_TYPE_ACTIVITY_TASK_STARTED' && activity !== undefined) {
      if (attempt !== undefined) activity.attempt = attempt;
    } else if (outcome !== undefined && activity !== undefined) {
      Object.assign(activity, { endedMs: timeMs, outcome });
    } else if (event.eventType === 'EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED' && workflowExecution !== undefined) {
      history.children.push(workflowExecution);
    } else if (event.eventType === 'EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED') {
      history.cancelRequestedMs = timeMs;
    }
  }
  return history;
}

/** Returns the activities that were running at a moment (Unix, ms). */
export function activitiesRunningAt({ activities }: WorkflowHistory, timeMs: number): HistoryActivity[] {
  return activities.filter(({ scheduledMs, endedMs = Infinity }) => scheduledMs <= timeMs && timeMs < endedMs);
}
