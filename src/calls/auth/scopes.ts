/**
 * What a token grants: the words of `scope` (RFC 8693, section 4.2: a text with blanks between) and of `scp`, which some
 * issuers write instead, as text or list. Anything else grants nothing.
 */
export function scopesOf(claims: Readonly<Record<string, unknown>>): readonly string[] {
  return [...new Set([...wordsOf(claims["scope"]), ...wordsOf(claims["scp"])])];
}

function wordsOf(claim: unknown): readonly string[] {
  if (typeof claim === "string") return claim.split(" ").filter(word => word !== "");
  return Array.isArray(claim) ? claim.filter((word): word is string => typeof word === "string" && word !== "") : [];
}
