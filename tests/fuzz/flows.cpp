// SPDX-License-Identifier: Apache-2.0
// Fuzzes the flow text parser, and the decoder of what a switch sends. A canonical flow is its own canonical form.
#include "weft/ovs/flows.hpp"

#include "fuzz.hpp"
#include "ovs/flow_codec.h"
#include "ovs/idl_shim.h"

using namespace weft;
using fuzz::must;

namespace {

// The text is MATCH, then a line feed, then ACTIONS.
void parse(std::string_view text) {
    const ovs::port_numbers ports{{"patch-int", 1}, {"vxlan-0a141435", 2}, {"tap1", 3}};
    ovs::flow f;
    f.cookie = ovs::flow_cookie;
    const auto at = text.find('\n');
    f.match = text.substr(0, at);
    f.actions = at == text.npos ? "drop" : text.substr(at + 1);
    const auto once = ovs::canonical(f, ports);
    if (!once) return;
    const auto twice = ovs::canonical(*once, ports);
    must(twice && *twice == *once, "a canonical flow is its own canonical form");
}

// As lib/ovs/openflow.cpp reads: a whole message, by the length in its header, and each function only for its kind.
void decode(const std::uint8_t* data, std::size_t size) {
    if (size < WEFT_HEADER_SIZE || weft_message_size(data) != size) return;
    weft_ovs_init();
    const auto kind = weft_message_kind(data, size);
    if (kind == WEFT_HELLO) weft_hello_version(data, size);
    if (kind == WEFT_ERROR) std::free(weft_error_text(data, size));
    if (kind == WEFT_FLOWS) {
        bool more = false;
        weft_ports* ports = weft_ports_new();
        weft_flows_decode(data, size, ports, [](void*, const weft_flow*) {}, nullptr, &more);
        weft_ports_free(ports);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 0 && data[0] < 7)
        decode(data, size);  // an OpenFlow version: 1 to 6
    else
        parse(fuzz::text_of(data, size));
    return 0;
}
