// The operator that a good Go engineer would write in an afternoon: controller-runtime, one request, one status.
//
// Run with KUBECONFIG and DATADOG_URL; the argument is the port of its probes.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// As many requests as the other candidates have in flight.
const workers = 8

type reconciler struct {
	client.Client
	http *http.Client
	url  string
}

// Reconcile sends the PATCH of a spec that was not sent yet, and notes the answer.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var found DoraDeployment
	if err := r.Get(ctx, request.NamespacedName, &found); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if found.Status.ObservedGeneration == found.Generation {
		return ctrl.Result{}, nil
	}
	code, err := r.mark(ctx, &found.Spec)
	if err != nil {
		return ctrl.Result{}, err // tried again, later each time
	}
	before := client.MergeFrom(found.DeepCopy())
	found.Status = Status{ObservedGeneration: found.Generation, HTTPStatus: code}
	return ctrl.Result{}, r.Status().Patch(ctx, &found, before)
}

func (r *reconciler) mark(ctx context.Context, spec *Spec) (int, error) {
	body, err := json.Marshal(map[string]any{"data": map[string]any{
		"id":         spec.Deployment.ID,
		"type":       "dora_deployment_patch_request",
		"attributes": map[string]any{"change_failure": spec.ChangeFailure},
	}})
	if err != nil {
		return 0, err
	}
	path := r.url + "/api/v2/dora/deployments/" + url.PathEscape(spec.Deployment.ID)
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Dd-Api-Key": {"a"}, "Dd-Application-Key": {"b"}}
	answer, err := r.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil { // read to its end, so that the connection is used again
		return 0, err
	}
	if answer.StatusCode != http.StatusAccepted {
		return 0, fmt.Errorf("Datadog answered %s", answer.Status)
	}
	return answer.StatusCode, nil
}

func run(ctx context.Context, port, datadog string) error {
	manager, err := ctrl.NewManager(ctrl.GetConfigOrDie(), ctrl.Options{
		Scheme:                 scheme(),
		Cache:                  cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		HealthProbeBindAddress: "127.0.0.1:" + port,
		Metrics:                metrics.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = workers // or all but two connections are closed after each request
	r := &reconciler{manager.GetClient(), &http.Client{Transport: transport, Timeout: 30 * time.Second}, datadog}
	err = ctrl.NewControllerManagedBy(manager).
		For(&DoraDeployment{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
	if err != nil {
		return err
	}
	informer, err := manager.GetCache().GetInformer(ctx, &DoraDeployment{})
	if err != nil {
		return err
	}
	listed := func(*http.Request) error {
		if !informer.HasSynced() {
			return errors.New("the first list is not complete")
		}
		return nil
	}
	err = errors.Join(manager.AddHealthzCheck("ping", healthz.Ping), manager.AddReadyzCheck("listed", listed))
	if err != nil {
		return err
	}
	return manager.Start(ctx)
}

func main() {
	ctrl.SetLogger(zap.New())
	if err := run(ctrl.SetupSignalHandler(), os.Args[1], os.Getenv("DATADOG_URL")); err != nil {
		ctrl.Log.Error(err, "ended")
		os.Exit(1)
	}
}
