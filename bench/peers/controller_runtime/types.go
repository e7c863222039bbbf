package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// DoraDeployment has the fields that this operator reads and writes; its cache holds no others.
type DoraDeployment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              Spec   `json:"spec"`
	Status            Status `json:"status,omitempty"`
}

// Spec is what a user wants.
type Spec struct {
	Deployment struct {
		ID string `json:"id"`
	} `json:"deployment"`
	ChangeFailure bool `json:"changeFailure"`
}

// Status is what came of it.
type Status struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	HTTPStatus         int   `json:"httpStatus,omitempty"`
}

// DoraDeploymentList is a page of them.
type DoraDeploymentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DoraDeployment `json:"items"`
}

func scheme() *runtime.Scheme {
	version := schema.GroupVersion{Group: "dora-operator.io", Version: "v1alpha1"}
	known := runtime.NewScheme()
	known.AddKnownTypes(version, &DoraDeployment{}, &DoraDeploymentList{})
	metav1.AddToGroupVersion(known, version)
	return known
}

// DeepCopy returns a copy that shares nothing with the cache.
func (d *DoraDeployment) DeepCopy() *DoraDeployment {
	copied := *d
	d.ObjectMeta.DeepCopyInto(&copied.ObjectMeta)
	return &copied
}

// DeepCopyObject returns the same for callers that know no types.
func (d *DoraDeployment) DeepCopyObject() runtime.Object { return d.DeepCopy() }

// DeepCopyObject returns a copy of a whole page.
func (l *DoraDeploymentList) DeepCopyObject() runtime.Object {
	copied := *l
	l.ListMeta.DeepCopyInto(&copied.ListMeta)
	copied.Items = make([]DoraDeployment, len(l.Items))
	for i := range l.Items {
		copied.Items[i] = *l.Items[i].DeepCopy()
	}
	return &copied
}
