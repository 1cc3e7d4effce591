"""mflib: finite-width networks against their exact infinite-width limit, in JAX."""

from .drift import velocity as velocity
from .escape import escape_time as escape_time, time_to_loss as time_to_loss
from .hermite import Activation as Activation
from .integrate import SolverError as SolverError
from .mean_field import MeanField as MeanField, solve_mean_field as solve_mean_field
from .network import Network as Network, solve_network as solve_network
from .problem import SingleIndex as SingleIndex
from .sphere import sample_sphere as sample_sphere

__version__ = "0.1.0"
