package bridge

// ConfigMapKey is the key of a ConfigMap under which the config stands, where
// it is kept in one instead of in a file.
const ConfigMapKey = "bridge.json"
