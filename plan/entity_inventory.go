package plan

import "time"

// Inventory lists entities: exactly one of the fields is set.
type Inventory struct {
	HTTP       *HTTPInventory       `json:"http,omitempty"`
	SQL        *SQLInventory        `json:"sql,omitempty"`
	Kubernetes *KubernetesInventory `json:"kubernetes,omitempty"`
}

// HTTPInventory is a list in JSON, page by page. Expressions read `body` and
// `headers` (names in lower case) of a page.
type HTTPInventory struct {
	// URL of the first page.
	URL string `json:"url"`
	// Items is CEL: the list in a page. Empty in a file means body.
	Items string `json:"items,omitempty"`
	// Next is CEL: the link to the next page, absolute or relative; null or empty:
	// there is none. Empty: there is one page.
	Next string `json:"next,omitempty"`
	// Item is CEL over `id`: the URL of one entity. Empty: one is not asked for.
	Item string `json:"item,omitempty"`
	// Headers of the requests, as texts. Secrets go into BearerTokenFile.
	Headers map[string]string `json:"headers,omitempty"`
	// BearerTokenFile is a file in the daemon's --secrets-dir; read for each request.
	BearerTokenFile string `json:"bearerTokenFile,omitempty"`
	// MaxPage is the largest page in bytes. Zero in a file means the default, 8 MiB.
	MaxPage int `json:"maxPage,omitempty"`
}

// SQLInventory is the rows of a query, read in a transaction that may only read.
// A row is an object whose fields are the columns.
type SQLInventory struct {
	Driver SQLDriver `json:"driver"`
	// DSNFile is a file in the daemon's --secrets-dir that holds where the database
	// is and as whom to read it.
	DSNFile string `json:"dsnFile"`
	Query   string `json:"query"`
	// Timeout of the query. Zero in a file means the default, 5m.
	Timeout Duration `json:"timeout,omitempty"`
}

// SQLDriver is a kind of database.
type SQLDriver string

// The drivers. MySQL reads MariaDB too.
const (
	Postgres SQLDriver = "postgres"
	MySQL    SQLDriver = "mysql"
)

// KubernetesInventory is the objects of one kind; `item` is an object.
type KubernetesInventory struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Namespace; empty: all of them.
	Namespace string `json:"namespace,omitempty"`
	// Selector is by labels, as for kubectl -l. Empty: all objects.
	Selector string `json:"selector,omitempty"`
}

// ModernInventory is modern's own list of entities.
type ModernInventory struct {
	Source Inventory `json:"source"`
	// ID is CEL over `item` of modern's inventory. Empty in a file means item.id.
	ID string `json:"id,omitempty"`
	// Live is CEL over `item`: whether modern serves it itself, and does not only
	// hold a copy of legacy's. Empty: whatever is listed is live.
	Live string `json:"live,omitempty"`
}

// EntitySync writes legacy's live entities to modern.
type EntitySync struct {
	// Upsert writes one: called again with the same item it must change nothing.
	Upsert EntityStep `json:"upsert"`
	// Interval between two rounds. Zero in a file means the default, 5m.
	Interval Duration `json:"interval,omitempty"`
}

// EntityStep is one call for one entity.
type EntityStep struct {
	HTTP HTTPCall `json:"http"`
}

// HTTPCall is a request whose parts are CEL over `id`, `item` (as legacy's
// inventory has it) and `values`.
type HTTPCall struct {
	// Method. Empty in a file means PUT, in `verify` GET.
	Method string `json:"method,omitempty"`
	// URL is CEL: a text.
	URL string `json:"url"`
	// Headers are CEL: texts. Secrets go into BearerTokenFile.
	Headers map[string]string `json:"headers,omitempty"`
	// Body is CEL: a text is sent as it is, any other value as JSON.
	Body string `json:"body,omitempty"`
	// Expect are the codes of success. Empty: 200 to 299.
	Expect []int `json:"expect,omitempty"`
	// BearerTokenFile is a file in the daemon's --secrets-dir; read for each request.
	BearerTokenFile string `json:"bearerTokenFile,omitempty"`
	// Timeout of one try. Zero in a file means the default, 10s.
	Timeout Duration `json:"timeout,omitempty"`
}

// EntityVerify compares what the two sides know of one entity.
type EntityVerify struct {
	// Legacy asks legacy for one entity: the answer's JSON is `legacy`. Absent: it
	// is the item of legacy's inventory.
	Legacy *EntityStep `json:"legacy,omitempty"`
	// Modern asks modern: the answer's JSON is `modern`. Absent: it is the item of
	// modern's inventory.
	Modern *EntityStep `json:"modern,omitempty"`
	// Equal are CEL over `id`, `legacy`, `modern` and `values`: all must be true.
	Equal []string `json:"equal"`
	// Sample is how many entities are compared at each comparison of the
	// inventories, others each time. Zero: all of them.
	Sample int `json:"sample,omitempty"`
}

// The defaults of entities.
const (
	DefaultRate           = 10
	DefaultConcurrency    = 4
	DefaultEntityInterval = Duration(5 * time.Minute)
	DefaultQueryTimeout   = Duration(5 * time.Minute)
	DefaultCallTimeout    = Duration(10 * time.Second)
	DefaultMaxPage        = 8 << 20
	DefaultEntityID       = "item.id"
)

// inventoryDefaults fills in what a file leaves out, where it names an inventory.
func inventoryDefaults(e *Entities) {
	if e.Source == nil {
		return
	}
	if e.Routed() {
		or(&e.ID, DefaultEntityID)
	}
	or(&e.Rate, DefaultRate)
	or(&e.Concurrency, DefaultConcurrency)
	or(&e.Interval, DefaultEntityInterval)
	sourceDefaults(e.Source)
	if e.Modern != nil {
		or(&e.Modern.ID, DefaultEntityID)
		sourceDefaults(&e.Modern.Source)
	}
	if e.Sync != nil {
		or(&e.Sync.Interval, DefaultEntityInterval)
		callDefaults(&e.Sync.Upsert.HTTP, "PUT")
	}
	if e.Verify != nil {
		for _, s := range []*EntityStep{e.Verify.Legacy, e.Verify.Modern} {
			if s != nil {
				callDefaults(&s.HTTP, "GET")
			}
		}
	}
	for _, steps := range [][]EntityStep{e.HandOver, e.HandBack} {
		for i := range steps {
			callDefaults(&steps[i].HTTP, "PUT")
		}
	}
}

func sourceDefaults(s *Inventory) {
	if s.HTTP != nil {
		or(&s.HTTP.Items, "body")
		or(&s.HTTP.MaxPage, DefaultMaxPage)
	}
	if s.SQL != nil {
		or(&s.SQL.Timeout, DefaultQueryTimeout)
	}
}

func callDefaults(c *HTTPCall, method string) {
	or(&c.Method, method)
	or(&c.Timeout, DefaultCallTimeout)
}

// or sets what is zero.
func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
