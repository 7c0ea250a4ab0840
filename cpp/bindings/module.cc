// The Python extension: numpy in and out, the GIL released, no logic of its own. python/embedrt/_core.pyi is its
// documentation.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <variant>

#include "base/cpu.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/xxh64.h"
#include "isa/dispatch.h"
#include "ops/pool.h"
#include "program/listing.h"
#include "program/model.h"
#include "program/peak.h"

namespace py = pybind11;

namespace embedrt {
namespace {

// How long Ctrl-C may wait, beyond the block that is running.
constexpr auto kSignalInterval = std::chrono::milliseconds(50);

template <class T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

std::span<const std::byte> as_bytes(const py::bytes& bytes) {
  const std::string_view view = bytes;
  return {reinterpret_cast<const std::byte*>(view.data()), view.size()};
}

template <class T>
std::span<const T> as_span(const Array<T>& array) {
  return {array.data(), static_cast<size_t>(array.size())};
}

py::object error_class(const char* name) {
  return py::module_::import("embedrt._errors").attr(name);
}

void translate(std::exception_ptr pointer) {
  try {
    if (pointer) std::rethrow_exception(pointer);
  } catch (const FormatError& error) {
    py::set_error(error_class("FormatError"), error.what());
  } catch (const InputError& error) {
    py::set_error(error_class("InputError"), error.what());
  } catch (const SystemError& error) {
    errno = error.code;
    PyErr_SetObject(PyExc_OSError, py::make_tuple(error.code, error.what()).ptr());
  } catch (const Error& error) {
    py::set_error(error_class("EmbedrtError"), error.what());
  }
}

// Calls run(stop) without the GIL, and throws what a signal's handler raised.
template <class Run>
void run_released(Run run) {
  bool finished = false;
  {
    const py::gil_scoped_release release;
    // The GIL is asked for between blocks, but not at every one: another thread may hold it for long.
    auto next_look = std::chrono::steady_clock::now() + kSignalInterval;
    const auto stop = [&next_look] {
      if (std::chrono::steady_clock::now() < next_look) return false;
      const py::gil_scoped_acquire acquire;
      next_look = std::chrono::steady_clock::now() + kSignalInterval;
      return PyErr_CheckSignals() != 0;
    };
    finished = run(stop);
  }
  if (!finished) throw py::error_already_set();
}

class PyModel {
 public:
  PyModel(const std::variant<py::bytes, std::string>& source, bool mmap, bool verify, unsigned threads) {
    std::shared_ptr<const MappedFile> file;
    if (const auto* bytes = std::get_if<py::bytes>(&source)) {
      file = MappedFile::copy(as_bytes(*bytes));
    } else {
      const py::gil_scoped_release release;
      file = MappedFile::open(std::get<std::string>(source), mmap);
    }
    const py::gil_scoped_release release;
    model_.emplace(std::move(file), threads);
    if (verify) model_->file().verify_bulk();
  }

  std::optional<py::bytes> section(const std::string& name) const {
    const auto bytes = model_->file().json_section(name);
    if (!bytes) return std::nullopt;
    return py::bytes(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  }

  py::dict outputs() const {
    py::dict result;
    for (const Output& output : model_->program().outputs)
      result[py::str(output.name)] = model_->program().type(output.value).columns;
    return result;
  }

  std::vector<py::array_t<float>> run_outputs(const Array<int32_t>& ids, const Array<int64_t>& offsets,
                                              const std::vector<std::string>& outputs,
                                              const std::optional<Array<int32_t>>& types,
                                              const std::optional<Array<int64_t>>& attended,
                                              const std::optional<Array<int64_t>>& spans,
                                              const std::optional<std::string>& pooling) const {
    if (ids.ndim() != 1 || offsets.ndim() != 1 || (types && types->ndim() != 1) || (attended && attended->ndim() != 1))
      throw InputError("ids, offsets, types and attended must have one dimension");
    TextCall call{.ids = as_span(ids), .offsets = as_span(offsets)};
    if (types) call.types = as_span(*types);
    if (attended) call.attended = as_span(*attended);
    if (spans) {
      if (spans->ndim() != 2 || spans->shape(1) != 2) throw InputError("spans must be [m, 2]");
      call.spans = {reinterpret_cast<const std::array<int64_t, 2>*>(spans->data()),
                    static_cast<size_t>(spans->shape(0))};
    }
    if (pooling) call.pooling = pool_kind(*pooling);
    std::vector<py::array_t<float>> results;
    std::vector<Target> targets;
    for (const std::string& output : outputs) {
      const ValueType type = model_->output_type(output);
      results.emplace_back(
          std::vector{static_cast<py::ssize_t>(call.rows(type)), static_cast<py::ssize_t>(type.columns)});
      targets.push_back({output, results.back().mutable_data()});
    }
    run_released([&](auto stop) { return model_->run(call, targets, stop); });
    return results;
  }

  py::array_t<float> run(const Array<int32_t>& ids, const Array<int64_t>& offsets, const std::string& output,
                         const std::optional<Array<int32_t>>& types, const std::optional<Array<int64_t>>& attended,
                         const std::optional<Array<int64_t>>& spans, const std::optional<std::string>& pooling) const {
    return run_outputs(ids, offsets, {output}, types, attended, spans, pooling).front();
  }

  py::array_t<float> run_images(const Array<uint8_t>& pixels, const std::string& output) const {
    const ProgramLimits& limits = model_->program().limits;
    if (pixels.ndim() != 4 || pixels.shape(1) != limits.image_height || pixels.shape(2) != limits.image_width ||
        pixels.shape(3) != 3)
      throw InputError("pixels must be [n, " + std::to_string(limits.image_height) + ", " +
                       std::to_string(limits.image_width) + ", 3]");
    const ValueType type = model_->output_type(output);
    std::vector<py::ssize_t> shape{pixels.shape(0)};
    if (type.kind == ValueKind::grid) shape.push_back(static_cast<py::ssize_t>(type.item_rows()));
    shape.push_back(static_cast<py::ssize_t>(type.columns));
    py::array_t<float> result(shape);
    float* out = result.mutable_data();
    run_released([&](auto stop) {
      return model_->run_images(pixels.data(), static_cast<size_t>(pixels.shape(0)), output, out, stop);
    });
    return result;
  }

  std::optional<std::pair<uint32_t, uint32_t>> image_size() const {
    const ProgramLimits& limits = model_->program().limits;
    if (limits.image_height == 0) return std::nullopt;
    return std::pair(limits.image_height, limits.image_width);
  }

  std::tuple<uint32_t, uint32_t, uint32_t> grid(const std::string& output) const {
    const ValueType type = model_->output_type(output);
    if (type.kind != ValueKind::grid) throw InputError("the output " + output + " has no grid");
    return {type.prefix, type.height, type.width};
  }

  py::list tensors() const {
    py::list result;
    for (const Tensor& tensor : model_->program().tensors)
      result.append(py::dict(py::arg("name") = tensor.name, py::arg("layout") = layout_name(tensor.layout),
                             py::arg("rows") = tensor.rows, py::arg("columns") = tensor.columns,
                             py::arg("size") = tensor.size));
    return result;
  }

  const Model& model() const { return *model_; }

 private:
  std::optional<Model> model_;
};

py::list op_table() {
  constexpr const char* type_names[] = {"u32", "f32", "choice"};
  py::list ops;
  for (const Op* op : all_ops()) {
    py::list attributes;
    for (const Attribute& attribute : op->attributes) {
      py::list choices;
      for (size_t from = 0; attribute.type == Attribute::Type::choice && from <= attribute.choices.size();) {
        const size_t to = std::min(attribute.choices.find('|', from), attribute.choices.size());
        choices.append(attribute.choices.substr(from, to - from));
        from = to + 1;
      }
      py::object initial = attribute.type == Attribute::Type::f32
                               ? py::object(py::float_(std::bit_cast<float>(attribute.default_word)))
                               : py::object(py::int_(attribute.default_word));
      attributes.append(py::dict(py::arg("name") = attribute.name,
                                 py::arg("type") = type_names[static_cast<size_t>(attribute.type)],
                                 py::arg("default") = initial, py::arg("choices") = choices));
    }
    py::list roles;
    for (const std::string_view role : op->tensor_roles) roles.append(role);
    ops.append(py::dict(py::arg("id") = op->id, py::arg("name") = op->name, py::arg("min_inputs") = op->min_inputs,
                        py::arg("max_inputs") = op->max_inputs, py::arg("tensor_roles") = roles,
                        py::arg("attributes") = attributes));
  }
  return ops;
}

}  // namespace

// Without the GIL as well: a Model locks what its calls share, and everything else here is constant once made.
PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  py::register_exception_translator(translate);
  module.attr("FORMAT_VERSION") = format::kVersion;
  module.attr("NUMERICS_REVISION") = kNumericsRevision;
  module.def("isa", [] { return kernels().name; });
  module.def("isas", available_isas);
  module.def("default_threads", default_threads);
  module.def("ops", op_table);
  module.def("peak_names", peak_names);
  module.def(
      "peak",
      [](const std::string& name, unsigned threads, double seconds) { return measure_peak(name, threads, seconds); },
      py::arg("name"), py::arg("threads"), py::arg("seconds"), py::call_guard<py::gil_scoped_release>());
  module.def("xxh64", [](const py::bytes& bytes) { return xxh64(as_bytes(bytes)); }, py::arg("data"));

  py::class_<PyModel>(module, "Model")
      .def(py::init<const std::variant<py::bytes, std::string>&, bool, bool, unsigned>(), py::arg("source"),
           py::kw_only(), py::arg("mmap") = true, py::arg("verify") = false, py::arg("threads") = 0)
      .def("section", &PyModel::section, py::arg("name"))
      .def("outputs", &PyModel::outputs)
      .def("run", &PyModel::run, py::arg("ids"), py::arg("offsets"), py::arg("output"), py::kw_only(),
           py::arg("types") = py::none(), py::arg("attended") = py::none(), py::arg("spans") = py::none(),
           py::arg("pooling") = py::none())
      .def("run_outputs", &PyModel::run_outputs, py::arg("ids"), py::arg("offsets"), py::arg("outputs"), py::kw_only(),
           py::arg("types") = py::none(), py::arg("attended") = py::none(), py::arg("spans") = py::none(),
           py::arg("pooling") = py::none())
      .def(
          "unit_length",
          [](const PyModel& self, const std::string& output) { return self.model().unit_length(output); },
          py::arg("output"))
      .def("run_images", &PyModel::run_images, py::arg("pixels"), py::arg("output"))
      .def("grid", &PyModel::grid, py::arg("output"))
      .def("tensors", &PyModel::tensors)
      .def(
          "work",
          [](const PyModel& self, uint32_t tokens, const std::string& output) {
            return self.model().work(tokens, output);
          },
          py::arg("tokens"), py::arg("output"))
      .def("listing", [](const PyModel& self) { return listing(self.model().program()); })
      .def("verify",
           [](const PyModel& self) {
             const py::gil_scoped_release release;
             self.model().file().verify_bulk();
           })
      .def_property_readonly("max_tokens", [](const PyModel& self) { return self.model().program().limits.max_tokens; })
      .def_property_readonly("vocabulary", [](const PyModel& self) { return self.model().program().limits.vocabulary; })
      .def_property_readonly("types_count", [](const PyModel& self) { return self.model().program().limits.types; })
      .def_property_readonly("image_size", &PyModel::image_size)
      .def_property_readonly("threads", [](const PyModel& self) { return self.model().threads(); })
      .def_property_readonly("file_size", [](const PyModel& self) { return self.model().file().file_size(); })
      .def_property_readonly("golden_revision",
                             [](const PyModel& self) { return self.model().file().golden_revision(); })
      .def_property_readonly("fingerprint",
                             [](const PyModel& self) { return self.model().file().fingerprint(kNumericsRevision); });
}

}  // namespace embedrt
