// The short way to a kernel and back, without Python in it: for small tensors Python takes longer than arithmetic.
//
// It does what quick.QuickElementwise does, for the same tensors, with the same kernels, so with the same bits.

#include <ATen/Parallel.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/extension.h>

#include <array>
#include <mutex>
#include <optional>

#if defined(__linux__)
#include <pthread.h>
#endif

namespace {

using at::Tensor;

// Of threads.py and pages.py: elements below which one thread is enough, elements no two threads share a line of, and
// bytes from which results take memory that Python keeps.
struct Limits {
  int64_t serial_below, cache_lines;
  size_t large;
} limits;

bool forked = false;  // in a forked child the team's threads are gone
std::mutex team_free;

// Machine code, and the address of a block of parameters or of a table.
struct Kernel {
  void (*code)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t) = nullptr;
  int64_t block = 0;
};

// Calls a kernel from the team of threads of torch's own operations. at::parallel_for would do it in a second team: an
// extension is not linked with the OpenMP library that torch brings along.
void (*team)(void*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t) = nullptr;

int place(at::ScalarType type) {
  switch (type) {
    case at::kFloat: return 0;
    case at::kBFloat16: return 1;
    case at::kHalf: return 2;
    default: return -1;
  }
}

c10::DispatchKeySet but_for_views(c10::DispatchKeySet keys) {
  return keys.remove(c10::DispatchKey::ADInplaceOrView);
}

// Whether nothing watches or transforms operations: no mode, no tracing, no functorch.
bool unwatched() {
  static const c10::DispatchKeySet usual(c10::DispatchKey::BackendSelect);
  return but_for_views(c10::impl::tls_local_dispatch_key_set().included_) == usual;
}

// Whether x is a tensor whose memory is what it seems, and in order, and there are threads for it. Its keys tell
// subclasses, wrappers, other devices and layouts, and what is yet to be negated; those of inference mode, where nothing
// is recorded, are as good.
bool plain(const Tensor& x) {
  static const c10::DispatchKeySet usual = but_for_views(at::empty({0}).key_set());
  static const c10::DispatchKeySet inference = [] {
    c10::InferenceMode mode;
    return but_for_views(at::empty({0}).key_set());
  }();
  const auto keys = but_for_views(x.key_set());
  const bool sized = x.nbytes() < limits.large && (x.numel() < limits.serial_below || team);
  return sized && (keys == usual || keys == inference) && x.is_contiguous() && !x._fw_grad(0).defined();
}

int64_t address(const Tensor& x) { return reinterpret_cast<int64_t>(x.const_data_ptr()); }

Tensor computed(const Kernel& kernel, const Tensor& x, const Tensor* g) {
  Tensor y = at::empty_like(x);
  const int64_t n = x.numel(), from = address(x), by = g ? address(*g) : 0, to = address(y);
  const int64_t threads = n < limits.serial_below || forked ? 1 : at::get_num_threads();
  if (threads > 1 && team_free.try_lock()) {
    const std::lock_guard<std::mutex> until_done(team_free, std::adopt_lock);
    const int64_t portion = (n + threads - 1) / threads, chunk = (portion + limits.cache_lines - 1) / limits.cache_lines * limits.cache_lines;
    team(reinterpret_cast<void*>(kernel.code), from, by, to, kernel.block, n, chunk, threads);
  } else {
    kernel.code(from, by, to, kernel.block, 0, n);
  }
  return y;
}

// An activation with its parameters: its kernels by dtype, and what gives gradients that can be differentiated.
struct Activation : torch::CustomClassHolder {
  std::array<Kernel, 3> forward, backward;
  py::object again;

  explicit Activation(py::object again) : again(std::move(again)) {}
};

using Pointer = c10::intrusive_ptr<Activation>;

// What autograd keeps of a call: as torch's own operations have it, for torch::autograd::Function takes 1 µs longer.
struct Derivative : torch::autograd::Node {
  Pointer activation;
  torch::autograd::SavedVariable input;

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const Tensor& g = gradients[0];
    if (!g.defined()) return {Tensor()};
    const Tensor x = input.unpack();
    const bool alike = plain(x) && plain(g) && x.scalar_type() == g.scalar_type() && x.sizes() == g.sizes();
    if (alike && unwatched() && !at::GradMode::is_enabled()) {
      at::AutoDispatchBelowADInplaceOrView below;
      return {computed(activation->backward[place(x.scalar_type())], x, &g)};
    }
    py::gil_scoped_acquire lock;
    return {activation->again(x, g).cast<Tensor>()};
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    input.reset_data();
  }

  std::string name() const override { return "actfun::Derivative"; }
};

Tensor recorded(const Pointer& activation, const Tensor& x) {
  Tensor y;
  {
    at::AutoDispatchBelowADInplaceOrView below;
    y = computed(activation->forward[place(x.scalar_type())], x, nullptr);
  }
  const auto node = c10::make_intrusive<Derivative>();
  node->activation = activation;
  node->input = torch::autograd::SavedVariable(x, false);
  node->set_next_edges(torch::autograd::collect_next_edges(x));
  torch::autograd::set_history(y, node);
  return y;
}

// The activation of a tensor; None where it has to go another way, or the kernel is not there yet.
PyObject* called(PyObject* self, PyObject* argument) {
  HANDLE_TH_ERRORS
  if (!THPVariable_CheckExact(argument)) Py_RETURN_NONE;
  const Pointer& activation = *static_cast<const Pointer*>(PyCapsule_GetPointer(self, nullptr));
  const Tensor& x = THPVariable_Unpack(argument);
  const int which = place(x.scalar_type());
  if (which < 0 || !unwatched() || !plain(x) || !activation->forward[which].code) Py_RETURN_NONE;
  const bool records = x.requires_grad() && at::GradMode::is_enabled();
  if (records && !activation->backward[which].code) Py_RETURN_NONE;
  std::optional<py::gil_scoped_release> free;
  if (x.numel() >= limits.serial_below) free.emplace();
  Tensor y = records ? recorded(activation, x) : computed(activation->forward[which], x, nullptr);
  free.reset();
  return THPVariable_Wrap(std::move(y));
  END_HANDLE_TH_ERRORS
}

// `called` as a function of Python's own, which takes less time to call than one of pybind's.
py::object function_of(const Pointer& activation) {
  static PyMethodDef method{"activation", &called, METH_O, nullptr};
  const py::capsule self(new Pointer(activation), [](void* held) { delete static_cast<Pointer*>(held); });
  return py::reinterpret_steal<py::object>(PyCFunction_New(&method, self.ptr()));
}

void set_kernel(const Pointer& activation, const Tensor& like, bool backward, int64_t code, int64_t block) {
  auto& kernels = backward ? activation->backward : activation->forward;
  kernels.at(place(like.scalar_type())) = {reinterpret_cast<decltype(Kernel::code)>(code), block};
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
#if defined(__linux__)
  pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif
  module.def("set_team", [](int64_t code, int64_t serial_below, int64_t cache_lines, size_t large) {
    team = reinterpret_cast<decltype(team)>(code);
    limits = {serial_below, cache_lines, large};
  });
  py::class_<Activation, Pointer>(module, "Activation")
      .def(py::init<py::object>())
      .def("function", &function_of)
      .def("set_kernel", &set_kernel);
}
