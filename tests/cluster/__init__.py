"""A real Kubernetes cluster of three nodes on this machine, and the tests that need one.

Nothing here is simulated but the kubelet: control plane, kube-proxies and DNS are the real servers, pods are real
processes. `build` makes the servers, `cluster` runs them, `kubelet` runs the pods, `faults` breaks things.
"""
