// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"
)

const nxdomainPlugin = "nxdomain"

func init() {
	plugin.Register(nxdomainPlugin, setupNXDomain)
}

func setupNXDomain(controller *caddy.Controller) error {
	dnsserver.GetConfig(controller).AddPlugin(func(plugin.Handler) plugin.Handler { return nxdomain{} })
	return nil
}

// nxdomain answers "no such name" to all that the plugins before it left over. The cluster has no way out, and CoreDNS
// with nothing to forward to would answer REFUSED, which resolvers report as a passing failure: a program under test
// would then never see what a mistyped host name looks like on a cluster with a resolver behind it.
type nxdomain struct{}

func (nxdomain) Name() string { return nxdomainPlugin }

func (nxdomain) ServeDNS(_ context.Context, writer dns.ResponseWriter, request *dns.Msg) (int, error) {
	answer := new(dns.Msg).SetRcode(request, dns.RcodeNameError)
	return dns.RcodeSuccess, writer.WriteMsg(answer)
}
