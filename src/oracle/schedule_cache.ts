import { createSchedule, type Schedule } from "../reference/schedule.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";

/** Bounds of the cache, which keep it below some 200 MB whatever is asked for. */
const MAX_ENTRIES = 64;
const MAX_STEPS = 2_000_000;

/** The tables of the schedules that were asked for last: most sessions ask for the same few again and again. */
export class ScheduleCache {
  readonly #entries = new Map<string, Schedule>();
  #steps = 0;

  /**
   * The tables of a schedule.
   *
   * @throws {ArgumentError} as `createSchedule` does.
   */
  get(config: ScheduleConfig): Schedule {
    const key = JSON.stringify(config);
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const schedule = createSchedule(config);
    this.#entries.set(key, schedule);
    this.#steps += schedule.timesteps.length;
    this.#forgetOldest();
    return schedule;
  }

  #forgetOldest(): void {
    for (const [key, schedule] of this.#entries) {
      if (this.#entries.size <= MAX_ENTRIES && this.#steps <= MAX_STEPS) return;
      this.#entries.delete(key);
      this.#steps -= schedule.timesteps.length;
    }
  }
}
