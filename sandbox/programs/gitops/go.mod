// The CRDs of Flux, for the tests of documentation and gitops/. Nothing of it is built.
module dora-operator.io/sandbox/programs/gitops

go 1.26.0

require (
	github.com/fluxcd/kustomize-controller v1.10.1
	github.com/fluxcd/source-controller v1.10.1
)
