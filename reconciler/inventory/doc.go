// Package inventory lists entities: by HTTP page by page, by a query of a database
// that only reads, or from the objects of a cluster.
//
// An inventory is streamed, so that it takes the memory of a page and not of all
// its entities. It is listed whole or not at all: a page that is too large or no
// JSON, a chain of links that comes back to a page or never ends, and a list that
// breaks off are errors, and nothing may be concluded from what came before them.
// Items without an id that an entity can have are told one by one, with why.
package inventory
