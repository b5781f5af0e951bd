// Package forge talks to the three kinds of Git hosts that have pull requests:
// GitHub (REST v3, also an Enterprise Server), GitLab (v4, where they are merge
// requests) and Gitea or Forgejo (v1). It lists open pull requests, sets the
// status of a commit, keeps one comment of ours current, and opens a pull
// request.
//
// Nothing is ever repeated: before anything is posted the forge is asked whether
// it is there already, and asked again after an answer that was lost. So a
// restart posts nothing anew either.
//
// Every answer is bounded, every call has a deadline, and limits of the forge
// are waited for, within bounds. The token is read from its file at each call,
// goes to the API's own host over https, and is in no URL, log or error.
package forge
