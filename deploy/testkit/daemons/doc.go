// Package daemons starts container engines and tools as people run them: dockerd, containerd, podman, skopeo, crane and
// Redis, each with folders, sockets and configuration of its own, so that nothing on the machine is read or changed.
//
// Their configuration leads them to a registry under test with no way around it (see Mirror). An engine that is not
// installed skips the test, loudly; see testkit.Require.
package daemons
