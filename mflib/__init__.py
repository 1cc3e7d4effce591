"""mflib: finite-width networks against their exact infinite-width limit, in JAX."""

from .bounds import gronwall_bound as gronwall_bound, required_width as required_width
from .concordance import self_concordance as self_concordance
from .descent import Descent as Descent, descend as descend
from .disk import DiskMeanField as DiskMeanField
from .disk_hessian import (
    disk_hessian as disk_hessian,
    disk_stability as disk_stability,
)
from .disk_path import DiskPath as DiskPath, disk_path as disk_path
from .drift import velocity as velocity
from .escape import escape_time as escape_time, time_to_loss as time_to_loss
from .fluctuation import FluctuationLaw as FluctuationLaw, fluctuation_law as fluctuation_law
from .gap import Gap as Gap, measure_gap as measure_gap
from .hermite import Activation as Activation
from .hessian import (
    apply_local_hessian as apply_local_hessian,
    interaction_hessian as interaction_hessian,
    local_hessian as local_hessian,
)
from .integrate import SolverError as SolverError
from .large_dimension import (
    LargeDimensionLaw as LargeDimensionLaw,
    large_dimension_law as large_dimension_law,
)
from .linear import solve_gap_ode as solve_gap_ode
from .mean_field import MeanField as MeanField, solve_mean_field as solve_mean_field
from .mesh import particle_mesh as particle_mesh
from .moment_path import MomentPath as MomentPath, moment_path as moment_path
from .multi_index import MultiIndex as MultiIndex
from .network import Network as Network, solve_network as solve_network
from .norm_bound import norm_bound as norm_bound
from .problem import SingleIndex as SingleIndex
from .proxy import ProxyGap as ProxyGap, proxy_gap as proxy_gap
from .sphere import sample_sphere as sample_sphere
from .stability_matrix import stability as stability
from .tasks import Task as Task

__version__ = "0.1.0"
