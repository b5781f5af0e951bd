// Package send delivers notices to receivers: an Alertmanager, a webhook as Slack
// has it, or a webhook that takes CloudEvents.
//
// Conditions go to Alertmanager for as long as they hold and are then resolved;
// after a restart they are the same alerts. The other receivers get what happens,
// once. Each receiver has a bounded queue and a goroutine of its own, so that a
// dead one holds up neither the others nor a decision. URLs and tokens are in no
// error, log line or metric.
package send
