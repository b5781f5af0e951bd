// Package notice says what people are told of plans, how urgent it is, and who
// hears it. It is pure: it reads entries and statuses, and sends nothing.
package notice
