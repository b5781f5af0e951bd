// Package kustomize builds what a stop of a plan wants in the cluster: the
// kustomization of its phase.
//
// It reads an fs.FS and calls kustomize on a file system in memory, which holds
// exactly what was read. kustomize would fetch what looks like a URL, and run
// git for it, whatever file system it is given. So every kustomization that can
// be reached is read first (see Reads), and refused unless each of its
// references is a relative path to a file or folder that is there. kustomize
// then gets kustomizations that are written anew from what was checked, with
// every path as ./ or ../: it reads no text that was not checked.
//
// What a kustomization must hold to, beside what kustomize itself asks for:
//
//   - no remote bases and files, no absolute paths, nothing outside of the
//     repository, no symlinks out of it (links within it are followed);
//   - no openapi, crds, helmCharts, helmGlobals; as generators, transformers and
//     validators only what is built into kustomize, in a file or inline;
//   - no anchors and aliases in kustomizations and in what configures plugins;
//     no key twice and only text as keys, in manifests and patches too;
//   - names of files and folders of letters, digits and - _ . : alone;
//   - at most 1 MiB a file, 16 MiB and 5,000 files in all, 32 folders deep.
//
// # The position
//
// Every build has the ConfigMap migration-position: plan, phase, percent,
// legacyWeight, modernWeight and revision, all text. It is a resource of the
// phase's own kustomization, so namePrefix, labels and the like change it as
// they change all others, and `replacements` there and in components may have
// it as their source:
//
//	replacements:
//	- source: {kind: ConfigMap, name: migration-position, fieldPath: data.modernWeight}
//	  targets:
//	  - select: {kind: HTTPRoute, name: edge}
//	    fieldPaths: [spec.rules.0.backendRefs.1.weight]
//
// A field that is there keeps its type: kustomize puts in the text and nothing
// else, so a weight or a number of replicas stays a number, and `percent: ""`
// stays text. A field that is not there, and is made by `options: {create:
// true}`, gets the type that its text looks like: 25 becomes a number, which the
// API server refuses as the value of an annotation. Write such a field with an
// empty text into the manifest. Do not put a position into a field that is null.
//
// Objects without a namespace are left without one: kustomize does not know
// which kinds have namespaces. Who applies them puts the plan's namespace in.
//
// # Secrets
//
// kustomize quotes what it reads in its errors. So where a build fails, it is
// run once more with the data of all Secrets replaced: the error is repeated
// only if it is the same to the letter.
//
// The package is pure apart from kustomize itself, which prints warnings about
// deprecated fields to standard error.
package kustomize
