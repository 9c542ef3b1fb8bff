// SPDX-License-Identifier: Apache-2.0
// What must be remembered on the host beside the objects' own marks: which namespaces are ours, with the settings written in
// them (/run/weft/netns, gone with the boot as they are) and which sysctls and settings of NICs were found (/var/lib/weft/FABRIC.NODE.sysctls). Files are written whole and
// renamed. What is not there is none; what cannot be read is an error, for whoever took it for none would write over it.
// May include: core, model. Private to apply.
#pragma once

#include "weft/core/error.hpp"
#include "weft/model/host_state.hpp"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weft::apply {

inline constexpr const char* state_folder = "/var/lib/weft";
result<void> make_state_folder();

// Names of our namespaces for a host place (its netns name) and a fabric; "" as fabric gives all.
result<std::vector<std::string>> recorded_namespaces(const std::string& fabric);
result<std::string> namespace_owner(const std::string& name);  // the fabric; "" where it is no name of ours
result<void> record_namespace(const std::string& fabric, const std::string& name);
// The settings in a namespace of ours that weft wrote, so that whoever removes it knows what to bring back.
result<void> record_sysctls(const std::string& fabric, const std::string& name, const std::vector<std::string>& keys);
result<std::vector<std::string>> recorded_sysctls(const std::string& name);
void forget_namespace(const std::string& name);

// What was found before weft wrote first: of sysctls by "netns|key", of the host's own links by link_key.
using settings_memory = std::map<std::string, std::string>;
result<settings_memory> found_settings(const std::string& fabric, const std::string& node);
result<void> remember_settings(const std::string& fabric, const std::string& node, const settings_memory&);
// The file of them as it stands, and back; "" is none.
result<std::string> settings_text(const std::string& fabric, const std::string& node);
result<void> restore_settings(const std::string& fabric, const std::string& node, const std::string& text);
// Puts what was known earlier under what is known now; of a setting in both the earlier value is the one that was found.
result<void> add_settings(const std::string& fabric, const std::string& node, const std::string& earlier);
// What was moved from NICs to their bridges, among the settings; `begun` is added first, what is over is taken away.
std::vector<moved_object> moved_in(const settings_memory&);
result<void> remember_moved(const std::string& fabric, const std::string& node, const std::vector<moved_object>& begun,
                            const std::vector<moved_object>& over);
// The text of the fabric that was applied last (/var/lib/weft/FABRIC.NODE.fabric); "" is none.
result<void> remember_text(const std::string& fabric, const std::string& node, const std::string&);
result<std::string> remembered_text(const std::string& fabric, const std::string& node);
// The text of the fabric whose change was begun with a time to confirm it, and never became final (FABRIC.NODE.unconfirmed); "" is none.
result<void> remember_unconfirmed(const std::string& fabric, const std::string& node, const std::string&);
result<std::string> unconfirmed_text(const std::string& fabric, const std::string& node);
// The run that a restart of the machine cut off, "VERB FABRIC NODE", from before its journal goes until its node has been made anew; "" is none.
// The file of it ends in `suffix`, as those of the host do.
result<void> remember_cut_off(const std::string& suffix, const std::string& run);
result<std::string> cut_off_run(const std::string& suffix);
std::string link_key(const std::string& device, const std::string& setting);
// Device and setting; nothing where the key is not one of a link.
std::optional<std::pair<std::string, std::string>> split_link_key(const std::string& key);

}  // namespace weft::apply
