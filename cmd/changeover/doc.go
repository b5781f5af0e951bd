// Command changeover is the daemon that moves migrations along what Git
// declares, and the tool with which people check, watch and change plans.
package main
