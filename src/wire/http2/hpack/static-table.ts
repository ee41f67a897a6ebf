import { constantField, type HeaderField } from "../../exchange.ts";

/** The predefined table (RFC 7541, appendix A), one `name` or `name: value` per line, from index 1 on. */
const rows = `:authority
:method: GET
:method: POST
:path: /
:path: /index.html
:scheme: http
:scheme: https
:status: 200
:status: 204
:status: 206
:status: 304
:status: 400
:status: 404
:status: 500
accept-charset
accept-encoding: gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`.split("\n");

/** Fields by index; entry 0 is a filler. Shared by all connections, so `derived` of these must stay unset. */
export const staticFields: readonly HeaderField[] = [
  constantField("", ""),
  ...rows.map(row => {
    const separator = row.indexOf(": ", 1);
    return separator < 0 ? constantField(row, "") : constantField(row.slice(0, separator), row.slice(separator + 2));
  }),
];

export const staticCount = staticFields.length - 1;

/** The lowest index with that name, 0 when there is none. */
export const staticIndexOfName: ReadonlyMap<string, number> = new Map(
  staticFields.map((field, index): [string, number] => [field.name, index]).reverse(),
);

/** The index of exactly this field by the number of the constant; only rows with a value count. */
export const staticIndexOfConstant: ReadonlyMap<number, number> = new Map(
  staticFields
    .map((field, index): [number, number] => [field.constantId, index])
    .filter(([, index]) => index > 0 && staticFields[index]?.value !== ""),
);
