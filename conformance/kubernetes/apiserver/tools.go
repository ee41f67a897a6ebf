//go:build tools

// Package apiserver pins the Kubernetes API server that discovery is tested against.
package apiserver

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
