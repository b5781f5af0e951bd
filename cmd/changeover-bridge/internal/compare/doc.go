// Package compare judges two answers to one request: what legacy said and what
// modern said. It is pure: no clock, no network, and of values it returns only
// their type, their length and a keyed hash.
//
// # What is equal
//
// Status and body always count, of headers those that the plan names. A body is
// decoded (gzip, deflate) before it is compared. JSON is compared by structure:
// the order of keys does not count, that of elements does, numbers are compared
// exactly and by value (1.0 is 1, and 9007199254740993 is not ...992). Where a key
// stands twice in an object the last one counts. Everything else is compared by
// its bytes; texts in ISO 8859-1 are read as UTF-8 first.
//
// Where the status differs and no rule excuses it, the body is not looked at: its
// differences would only follow.
//
// # Rules
//
// A rule applies at its path, an ignore also below it. Of several rules for one
// place the first that fits the values counts, and none after the day on which it
// expires. `values` is strict: where legacy has a value that the map names, modern
// must have the other one. `ids` keeps the pairs that were seen, at most a hundred
// thousand for all rules of a comparison; a pair counts from the first answer that
// did not differ in anything else.
//
// # Bounds
//
// A body has at most 4 MiB when it is decoded and is at most 128 levels deep; a
// comparison makes at most two million steps and tells at most a hundred places. What
// is beyond is not comparable, and says why.
package compare
