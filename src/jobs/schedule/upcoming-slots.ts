// Pure: the next slots of a job, from its settings.
import type { JobSettings } from '../settings.ts';
import { nextSlots } from './schedule.ts';

/** Returns the first slot after a time; null if the job is disabled or has no slot left. */
export function nextSlot(settings: JobSettings, after: Date): Date | null {
  return upcomingSlots(settings, after, 1)[0] ?? null;
}

/** Returns up to `limit` slots after a time: the next ones of the cron, or the one-off time. Empty if the job is disabled. */
export function upcomingSlots(settings: JobSettings, after: Date, limit: number): Date[] {
  if (!settings.enabled) return [];
  if (settings.cron !== null) return nextSlots(settings.cron, settings.timeZone, after, limit);
  if (settings.scheduledTimeInSeconds === null || limit < 1) return [];
  const once = new Date(settings.scheduledTimeInSeconds * 1000);
  return once > after ? [once] : [];
}
