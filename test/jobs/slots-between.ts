import { nextSlots } from '../../src/jobs/schedule/schedule.ts';

/** Returns the slots with after < slot <= until, oldest first. Reads several at a time, each time after the last one. */
export const slotsBetween = (cron: string, timeZone: string, after: Date, until: Date): Date[] => {
  const slots: Date[] = [];
  for (;;) {
    const next = nextSlots(cron, timeZone, slots.at(-1) ?? after, 50);
    const within = next.filter((slot) => slot <= until);
    slots.push(...within);
    if (within.length < 50) return slots;
  }
};
