package browser

import (
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
)

// hear takes what the browser tells of a tab.
func (tab *Tab) hear(ev any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		tab.ids[e.RequestID] = len(tab.requests)
		tab.requests = append(tab.requests, Request{URL: e.Request.URL})
	case *network.EventResponseReceived:
		if i, ok := tab.ids[e.RequestID]; ok {
			tab.requests[i].Status = e.Response.Status
		}
	case *network.EventLoadingFinished:
		if i, ok := tab.ids[e.RequestID]; ok {
			tab.requests[i].Bytes = int64(e.EncodedDataLength)
		}
	case *runtime.EventExceptionThrown:
		tab.complaints = append(tab.complaints, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
			tab.complaints = append(tab.complaints, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}
