// Package simulation runs a whole plan by package timeline, and draws what comes
// of it: as text, a Mermaid gantt chart or an SVG.
package simulation
