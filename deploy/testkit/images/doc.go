// Package images makes the sample images: a Debian root made by debootstrap, an application that is a small static
// server, built for two architectures, and what is wrong with them where a policy shall refuse them.
//
// Images are immutable views (go-containerregistry); pushing them is package registry's part. The Debian root is made
// once and kept in the cache folder, so two runs on one machine have the same bytes and two machines have not.
package images
