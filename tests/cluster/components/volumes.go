// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
)

// What Kubernetes' own volume controller writes on a claim that waits for a provisioner, and what a provisioner writes
// on the volumes that it answers for.
const (
	awaitedProvisionerAnnotation = "volume.kubernetes.io/storage-provisioner"
	provisionedByAnnotation      = "pv.kubernetes.io/provisioned-by"
)

// runVolumeProvisioner serves PersistentVolumeClaims with directories of this node as `local` volumes. The controller
// manager's own hostpath provisioner is no substitute: hostPath volumes ignore fsGroup, so no container that is not
// root could write to them, and fsGroup is what the pods under test rely on.
func runVolumeProvisioner() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the cluster")
	name := flag.String("provisioner", "", "the provisioner name that storage classes use")
	node := flag.String("node", "", "name of the node that has the directories")
	directory := flag.String("directory", "", "directory, as the node sees it, that gets one directory per volume")
	health := flag.String("health-address", "", "address that answers /healthz once the claims are known")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatalf("--kubeconfig %s: %v", *kubeconfig, err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	provisioner := volumeProvisioner{
		client: kubernetes.NewForConfigOrDie(config), name: *name, node: *node, directory: *directory,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[task]()),
	}
	if err := provisioner.run(ctx, *health); err != nil {
		log.Fatal(err)
	}
}

// task names a claim that may want a volume or, with no namespace, a volume that may want to be deleted.
type task struct{ namespace, name string }

type volumeProvisioner struct {
	client                kubernetes.Interface
	name, node, directory string
	queue                 workqueue.TypedRateLimitingInterface[task]
}

func (p *volumeProvisioner) run(ctx context.Context, healthAddress string) error {
	factory := informers.NewSharedInformerFactory(p.client, 0)
	enqueue := func(object any) {
		if meta, ok := object.(metav1.Object); ok {
			p.queue.Add(task{namespace: meta.GetNamespace(), name: meta.GetName()})
		}
	}
	onChange := cache.ResourceEventHandlerFuncs{AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) }}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().PersistentVolumeClaims().Informer(), factory.Core().V1().PersistentVolumes().Informer(),
	} {
		if _, err := informer.AddEventHandler(onChange); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%v never synced", kind)
		}
	}
	go func() {
		<-ctx.Done()
		p.queue.ShutDown()
	}()
	go serveHealth(healthAddress)
	for p.workOne(ctx) {
	}
	return nil
}

func serveHealth(address string) {
	handler := http.NewServeMux()
	handler.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: time.Second}
	log.Fatal(server.ListenAndServe())
}

func (p *volumeProvisioner) workOne(ctx context.Context) bool {
	next, shutdown := p.queue.Get()
	if shutdown {
		return false
	}
	defer p.queue.Done(next)
	work := p.provision
	if next.namespace == "" {
		work = p.reclaim
	}
	if err := work(ctx, next); err != nil && !apierrors.IsNotFound(err) {
		log.Printf("%s/%s: %v; trying again", next.namespace, next.name, err)
		p.queue.AddRateLimited(next)
		return true
	}
	p.queue.Forget(next)
	return true
}

func (p *volumeProvisioner) provision(ctx context.Context, next task) error {
	claim, err := p.client.CoreV1().PersistentVolumeClaims(next.namespace).Get(ctx, next.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if claim.Annotations[awaitedProvisionerAnnotation] != p.name || claim.Spec.VolumeName != "" {
		return nil
	}
	volume := p.volumeFor(claim)
	if err := os.MkdirAll(volume.Spec.Local.Path, 0o770); err != nil {
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (p *volumeProvisioner) volumeFor(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	name := "pvc-" + string(claim.UID)
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedByAnnotation: p.name}},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      claim.Spec.Resources.Requests,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			StorageClassName:              *claim.Spec.StorageClassName,
			VolumeMode:                    claim.Spec.VolumeMode,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: filepath.Join(p.directory, name)},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{p.node}},
				}}},
			}},
		},
	}
}

func (p *volumeProvisioner) reclaim(ctx context.Context, next task) error {
	volume, err := p.client.CoreV1().PersistentVolumes().Get(ctx, next.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	ours := volume.Annotations[provisionedByAnnotation] == p.name
	released := volume.Status.Phase == corev1.VolumeReleased || volume.Status.Phase == corev1.VolumeFailed
	if !ours || !released || volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	if err := os.RemoveAll(volume.Spec.Local.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
}
