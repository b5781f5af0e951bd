// Package doctor judges an installation by what was asked of its parts, and says
// what to do. It is pure: answers come in, one line for each check goes out.
package doctor
