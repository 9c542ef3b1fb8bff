// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "weft/core/endpoint.hpp"

#include <charconv>

namespace weft {

std::string udp_endpoint::to_string() const {
    const auto text = address.to_string();
    return (address.is_v6() ? "[" + text + "]" : text) + ":" + std::to_string(port);
}

result<udp_endpoint> parse_endpoint(std::string_view text) {
    const error bad{errc::invalid_input, "read endpoint", std::string(text), "ADDRESS:PORT or [ADDRESS]:PORT is wanted", 0};
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return bad;
    auto host = text.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    const auto address = parse_ip(host);
    std::uint16_t port = 0;
    const auto [end, problem] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
    if (!address || address->is_v6() != bracketed || problem != std::errc{} || end != text.data() + text.size() || port == 0) return bad;
    return udp_endpoint{*address, port};
}

}  // namespace weft
