// The CRDs of the Prometheus operator, for the tests of the chart. Nothing of it is built.
module dora-operator.io/sandbox/programs/monitoring

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
