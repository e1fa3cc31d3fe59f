// The short way to a kernel and back, without Python in it: for small tensors Python takes longer than arithmetic.
//
// It does what quick.QuickElementwise does, for the same tensors, with the same kernels, so with the same bits.

#include <ATen/Parallel.h>
#include <torch/extension.h>

#include <array>
#include <mutex>

#if defined(__linux__)
#include <pthread.h>
#include <sys/mman.h>
#endif

namespace {

using at::Tensor;

// As in threads.py and pages.py.
constexpr int64_t kSerialBelow = 32768;
constexpr size_t kLarge = size_t{1} << 25;
constexpr uintptr_t kHuge = uintptr_t{1} << 21;
constexpr int64_t kCacheLines = 64;

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
  const bool threads = x.numel() < kSerialBelow || team;
  return threads && (keys == usual || keys == inference) && x.is_contiguous() && !x._fw_grad(0).defined();
}

void advise(const Tensor& y) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (y.nbytes() < kLarge) return;
  const auto start = reinterpret_cast<uintptr_t>(y.data_ptr());
  const auto first = (start + kHuge - 1) / kHuge * kHuge, last = (start + y.nbytes()) / kHuge * kHuge;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

int64_t address(const Tensor& x) { return reinterpret_cast<int64_t>(x.const_data_ptr()); }

Tensor computed(const Kernel& kernel, const Tensor& x, const Tensor* g) {
  Tensor y = at::empty_like(x);
  advise(y);
  const int64_t n = x.numel(), from = address(x), by = g ? address(*g) : 0, to = address(y);
  const int64_t threads = n < kSerialBelow || forked ? 1 : at::get_num_threads();
  if (threads > 1 && team_free.try_lock()) {
    const std::lock_guard<std::mutex> until_done(team_free, std::adopt_lock);
    const int64_t portion = (n + threads - 1) / threads, chunk = (portion + kCacheLines - 1) / kCacheLines * kCacheLines;
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

struct Recorded : torch::autograd::Function<Recorded> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Pointer& activation) {
    context->save_for_backward({x});
    context->saved_data["activation"] = c10::IValue::make_capsule(activation);
    return computed(activation->forward[place(x.scalar_type())], x, nullptr);
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, const torch::autograd::variable_list& gradients) {
    const Tensor x = context->get_saved_variables()[0], &g = gradients[0];
    const auto activation = c10::static_intrusive_pointer_cast<Activation>(
        context->saved_data["activation"].toCapsule());
    const bool alike = plain(x) && plain(g) && x.scalar_type() == g.scalar_type() && x.sizes() == g.sizes();
    if (alike && unwatched() && !at::GradMode::is_enabled())
      return {computed(activation->backward[place(x.scalar_type())], x, &g), Tensor()};
    py::gil_scoped_acquire lock;
    return {activation->again(x, g).cast<Tensor>(), Tensor()};
  }
};

// The activation of x; None where x has to go another way, or the kernel is not there yet.
py::object called(const Pointer& activation, const Tensor& x) {
  const int which = place(x.scalar_type());
  if (which < 0 || !unwatched() || !plain(x) || !activation->forward[which].code) return py::none();
  const bool recorded = x.requires_grad() && at::GradMode::is_enabled();
  if (recorded && !activation->backward[which].code) return py::none();
  const auto compute = [&] {
    return recorded ? Recorded::apply(x, activation) : computed(activation->forward[which], x, nullptr);
  };
  if (x.numel() < kSerialBelow) return py::cast(compute());
  Tensor y;
  {
    py::gil_scoped_release free;
    y = compute();
  }
  return py::cast(y);
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
  module.def("set_team", [](int64_t code) { team = reinterpret_cast<decltype(team)>(code); });
  py::class_<Activation, Pointer>(module, "Activation")
      .def(py::init<py::object>())
      .def("__call__", &called)
      .def("set_kernel", &set_kernel);
}
