import { CodecError, describe } from "../codec-error.ts";
import type { Local } from "../plan.ts";

/** google.protobuf.Timestamp and Duration as ProtoJSON has them: RFC 3339 text, and seconds with an `s`. */

const secondsMin = -62_135_596_800;
const secondsMax = 253_402_300_799;
const durationSecondsMax = 315_576_000_000;

/** 3, 6 or 9 digits behind a point, or nothing. */
function fraction(nanos: number): string {
  if (nanos === 0) return "";
  const digits = String(nanos).padStart(9, "0");
  if (digits.endsWith("000000")) return `.${digits.slice(0, 3)}`;
  return digits.endsWith("000") ? `.${digits.slice(0, 6)}` : `.${digits}`;
}

const two = (value: number): string => (value < 10 ? `0${value}` : String(value));

/** Days since 1970 to year, month and day (Hinnant's civil-from-days: years begin in March, eras have 400 years). */
function calendarDate(days: number): string {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}`;
}

export function timestampText(message: Local): string {
  const seconds = Number(message["seconds"] ?? 0);
  const nanos = Number(message["nanos"] ?? 0);
  if (!(seconds >= secondsMin && seconds <= secondsMax)) {
    throw new CodecError("timestamp.range", "a timestamp must be from year 1 to year 9999");
  }
  if (!(nanos >= 0 && nanos <= 999_999_999)) {
    throw new CodecError("timestamp.range", `a timestamp's nanos must be from 0 to 999999999, got ${nanos}`);
  }
  const days = Math.floor(seconds / 86_400);
  const rest = seconds - days * 86_400;
  const time = `${two(Math.floor(rest / 3600))}:${two(Math.floor(rest / 60) % 60)}:${two(rest % 60)}`;
  return `"${calendarDate(days)}T${time}${fraction(nanos)}Z"`;
}

const rfc3339 = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/;

export function readTimestamp(json: unknown): { seconds: bigint; nanos: number } {
  const match = typeof json === "string" ? rfc3339.exec(json) : null;
  if (match === null) throw new CodecError("timestamp.format", `expected an RFC 3339 time, got ${describe(json)}`);
  const milliseconds = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(milliseconds)) {
    throw new CodecError("timestamp.format", `expected an RFC 3339 time, got ${describe(json)}`);
  }
  const seconds = milliseconds / 1000;
  if (seconds < secondsMin || seconds > secondsMax) {
    throw new CodecError("timestamp.range", "a timestamp must be from year 1 to year 9999");
  }
  return { seconds: BigInt(seconds), nanos: Number((match[2] ?? "0").padEnd(9, "0")) };
}

export function durationText(message: Local): string {
  const seconds = Number(message["seconds"] ?? 0);
  const nanos = Number(message["nanos"] ?? 0);
  if (!(Math.abs(seconds) <= durationSecondsMax)) {
    throw new CodecError("duration.range", "a duration must be within ±315576000000 seconds");
  }
  if ((seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0) || Math.abs(nanos) > 999_999_999) {
    throw new CodecError(
      "duration.range",
      "a duration's nanos must have the sign of its seconds and be below a second",
    );
  }
  const sign = seconds === 0 && nanos < 0 ? "-" : "";
  return `"${sign}${message["seconds"] ?? 0}${fraction(Math.abs(nanos))}s"`;
}

const durationFormat = /^(-?\d+)(?:\.(\d{1,9}))?s$/;

export function readDuration(json: unknown): { seconds: bigint; nanos: number } {
  const match = typeof json === "string" ? durationFormat.exec(json) : null;
  if (match === null) throw new CodecError("duration.format", `expected seconds such as "1.5s", got ${describe(json)}`);
  const seconds = Number(match[1]);
  if (Math.abs(seconds) > durationSecondsMax) {
    throw new CodecError("duration.range", "a duration must be within ±315576000000 seconds");
  }
  const nanos = Number((match[2] ?? "0").padEnd(9, "0"));
  const isNegative = match[1]?.startsWith("-") === true;
  return { seconds: BigInt(seconds), nanos: isNegative && nanos !== 0 ? -nanos : nanos };
}
