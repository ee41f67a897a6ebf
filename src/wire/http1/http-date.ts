import type { Clock } from "../../platform/index.ts";

const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] as const;
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const;

/** IMF-fixdate (RFC 9110, section 5.6.7) of a time in milliseconds since 1970; proleptic Gregorian calendar. */
export function imfFixdate(epochMs: number): string {
  const seconds = Math.floor(epochMs / 1000);
  const day = Math.floor(seconds / 86_400);
  const second = seconds - day * 86_400;
  // Civil date of a day number, with years that begin in March so that the leap day comes last.
  const shifted = day + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const dayOfMonth = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = (monthFromMarch + 2) % 12;
  const year = yearOfEra + era * 400 + (month < 2 ? 1 : 0);
  const time = [Math.floor(second / 3600), Math.floor(second / 60) % 60, second % 60].map(padded).join(":");
  const weekday = days[(((day + 4) % 7) + 7) % 7]!;
  return `${weekday}, ${padded(dayOfMonth)} ${months[month]!} ${String(year).padStart(4, "0")} ${time} GMT`;
}

function padded(value: number): string {
  return value < 10 ? `0${value}` : `${value}`;
}

/** The `date` line of an answer, made anew once a second. */
export class DateLine {
  readonly #clock: Clock;
  #second = Number.NaN;
  #line = "";

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(): string {
    const second = Math.floor(this.#clock.wall() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#line = `date: ${imfFixdate(second * 1000)}\r\n`;
    }
    return this.#line;
  }
}
