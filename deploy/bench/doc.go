// Command bench compares Winnow over loopback with distribution in proxy mode and with bare net/http handlers that
// answer the same bytes with the same headers, and prints the ratios beside the bars they are to meet.
//
// Each server is a process of its own, whose CPU time the kernel counts. Rounds of the servers alternate and medians
// of ratios within a round are printed, so that a machine that slows down does not favour one of them. Client,
// upstream and servers share the machine all the same: rates are not those of a real network, and on a busy machine a
// single run proves little. The exit code says only whether everything could be measured.
//
//	go run ./deploy/bench                      # everything, some five minutes
//	go run ./deploy/bench -run 'manifest|head' # some of it
//	go run ./deploy/bench -run blob -profile . # with a CPU profile of Winnow, by way of its console
package main
