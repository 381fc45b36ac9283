/** Display names in any letters, and the plain ids that are made from them. */

const LONGEST = 64;
const LETTERS = { ß: "ss", æ: "ae", œ: "oe", ø: "o", đ: "d", ł: "l", þ: "th", ı: "i" };

/** The name of a camera, zone or line: its display name, else its id. */
export const nameOf = ({ id, name }) => name || id;

/** A name as an id: lower case letters, digits and hyphens; empty without any of them. */
export function plainId(name) {
  const plain = name.toLowerCase().normalize("NFD").replace(/[ßæœøđłþı]/g, (it) => LETTERS[it]);
  return plain.replace(/\p{M}/gu, "").replace(/[^a-z0-9_]+/g, "-").replace(/^-+|-+$/g, "").slice(0, LONGEST);
}

/** An id made from a name that none of `taken` has; `kind` if the name has no plain letters. */
export function unusedId(name, kind, taken) {
  const made = plainId(name);
  const known = new Set(taken);
  if (made && !known.has(made)) return made;
  const stem = (made || kind).slice(0, LONGEST - 4);
  for (let number = made ? 2 : 1; ; number += 1) {
    if (!known.has(`${stem}-${number}`)) return `${stem}-${number}`;
  }
}
