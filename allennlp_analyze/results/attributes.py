"""The attributes of a layer that read its metrics, one for each column of layers.csv."""

# Made by scripts/tools/make_attributes.py from the catalogue of metrics.

from typing import Optional

from allennlp_analyze.results.attribute import Attribute


class LayerAttributes:
    """The numbers of a layer under the names that they have in layers.csv and data frames.

    docs/reference/metrics.md explains each. An undefined one is None.
    """

    condition_number = Attribute[Optional[float]]("metrics.condition_number")
    """max_singular_value / min_singular_value; null where it is not finite."""
    hard_rank_numpy = Attribute[int]("hard_rank.numpy")
    """Number of singular values above the tolerance numpy."""
    hard_rank_numerical_recipes = Attribute[int]("hard_rank.numerical_recipes")
    """Number of singular values above the tolerance numerical_recipes."""
    hard_rank_loose = Attribute[int]("hard_rank.loose")
    """Number of singular values above the tolerance loose."""
    hard_rank_rounding = Attribute[int]("hard_rank.rounding")
    """Number of singular values above the tolerance rounding."""
    tolerance_numpy = Attribute[float]("tolerance.numpy")
    """sigma_max * N * eps, as numpy.linalg.matrix_rank; eps of float32 for float32 and lower
    precision, of float64 for float64."""
    tolerance_numerical_recipes = Attribute[float]("tolerance.numerical_recipes")
    """sigma_max * eps / 2 * sqrt(M + N + 1)."""
    tolerance_loose = Attribute[float]("tolerance.loose")
    """The 2018 study's 0.001, absolute, unless set otherwise."""
    tolerance_rounding = Attribute[float]("tolerance.rounding")
    """The largest singular value that rounding to the stored dtype alone can produce."""
    rank_loss_percent_numpy = Attribute[float]("rank_loss_percent.numpy")
    """Share of the M directions lost under the tolerance numpy, in percent."""
    rank_loss_percent_numerical_recipes = Attribute[float]("rank_loss_percent.numerical_recipes")
    """Share of the M directions lost under the tolerance numerical_recipes, in percent."""
    rank_loss_percent_loose = Attribute[float]("rank_loss_percent.loose")
    """Share of the M directions lost under the tolerance loose, in percent."""
    rank_loss_percent_rounding = Attribute[float]("rank_loss_percent.rounding")
    """Share of the M directions lost under the tolerance rounding, in percent."""
    frobenius_norm = Attribute[Optional[float]]("metrics.frobenius_norm")
    """Frobenius norm: square root of the sum of the eigenvalues."""
    stable_rank = Attribute[Optional[float]]("metrics.stable_rank")
    """Squared Frobenius norm over the squared spectral norm."""
    effective_rank = Attribute[Optional[float]]("metrics.effective_rank")
    """Exponential of the entropy of the singular values' shares (Roy and Vetterli 2007)."""
    entropy = Attribute[Optional[float]]("metrics.entropy")
    """Entropy of the eigenvalues' shares over the logarithm of hard_rank numpy; 0 for rank 1."""
    log_norm = Attribute[Optional[float]]("metrics.log_norm")
    """log10 of the sum of the eigenvalues."""
    log_spectral_norm = Attribute[Optional[float]]("metrics.log_spectral_norm")
    """log10 of the largest eigenvalue."""
    alpha_weighted = Attribute[Optional[float]]("metrics.alpha_weighted")
    """alpha * log10 of the largest eigenvalue."""
    log_alpha_norm = Attribute[Optional[float]]("metrics.log_alpha_norm")
    """log10 of the sum of eigenvalue^alpha."""
    mp_sigma = Attribute[Optional[float]]("marchenko_pastur.sigma")
    """Standard deviation of the bulk's entries."""
    mp_lambda_minus = Attribute[Optional[float]]("marchenko_pastur.lambda_minus")
    """Lower edge of the bulk."""
    mp_lambda_plus = Attribute[Optional[float]]("marchenko_pastur.lambda_plus")
    """Upper edge of the bulk."""
    mp_spike_threshold = Attribute[Optional[float]]("marchenko_pastur.spike_threshold")
    """lambda_plus with a Tracy-Widom margin."""
    mp_n_spikes = Attribute[Optional[int]]("marchenko_pastur.n_spikes")
    """Number of eigenvalues above spike_threshold."""
    mp_soft_rank = Attribute[Optional[float]]("marchenko_pastur.soft_rank")
    """lambda_plus / largest eigenvalue."""
    mp_entry_sigma = Attribute[Optional[float]]("marchenko_pastur.entry_sigma")
    """Standard deviation of all entries."""
    mp_entry_lambda_minus = Attribute[Optional[float]]("marchenko_pastur.entry_lambda_minus")
    """Lower edge for entry_sigma."""
    mp_entry_lambda_plus = Attribute[Optional[float]]("marchenko_pastur.entry_lambda_plus")
    """Upper edge for entry_sigma."""
    tikhonov_gamma = Attribute[Optional[float]]("tikhonov.gamma")
    """Eigenvalue at which the spectrum is split."""
    tikhonov_n_information = Attribute[Optional[int]]("tikhonov.n_information")
    """Number of eigenvalues above gamma."""
    tikhonov_n_noise = Attribute[Optional[int]]("tikhonov.n_noise")
    """Number of the others."""
    tikhonov_information_share = Attribute[Optional[float]]("tikhonov.information_share")
    """Share of the eigenvalues' sum above gamma."""
    tikhonov_noise_share = Attribute[Optional[float]]("tikhonov.noise_share")
    """Share of the others."""
    alpha = Attribute[Optional[float]]("power_law.alpha")
    """Exponent of the power law."""
    D = Attribute[Optional[float]]("power_law.D")
    """Distance of the power law from the data (Kolmogorov-Smirnov)."""
    xmin = Attribute[Optional[float]]("power_law.xmin")
    """Start of the tail."""
    alpha_sigma = Attribute[Optional[float]]("power_law.sigma")
    """Standard error of alpha."""
    sigma = Attribute[Optional[float]]("power_law.sigma")
    """Standard error of alpha."""
    n_tail = Attribute[Optional[int]]("power_law.n_tail")
    """Number of eigenvalues >= xmin."""
    best_fit = Attribute[Optional[str]]("power_law.best_fit")
    """Name of the distribution that fits best; null if none was compared."""
    p_value = Attribute[Optional[float]]("uncertainty.p_value")
    """Share of samples from the power law that fit worse."""
    alpha_low = Attribute[Optional[float]]("uncertainty.alpha_low")
    """Lower end of the 95% interval of alpha."""
    alpha_high = Attribute[Optional[float]]("uncertainty.alpha_high")
    """Upper end of the 95% interval of alpha."""
    n_resamples = Attribute[Optional[int]]("uncertainty.n_resamples")
    """Number of resamples for each of the two."""
    fixed_aspect_alpha = Attribute[Optional[float]]("uncertainty.fixed_aspect_alpha")
    """Alpha of square submatrices, comparable between layers of different Q."""
    fixed_aspect_side = Attribute[Optional[int]]("uncertainty.fixed_aspect_side")
    """Number of rows and columns of each submatrix."""
    harmless_directions = Attribute[Optional[int]]("evidence.harmless_directions")
    """Lost directions that do not matter to what the network computes."""
    hidden_directions = Attribute[Optional[int]]("evidence.hidden_directions")
    """Directions of which rounding to the stored precision would hide as many in noise."""
    limit = Attribute[Optional[float]]("evidence.limit")
    """Singular values up to this one count as lost; null if there is no limit."""
    null_ratio = Attribute[Optional[float]]("evidence.null_ratio")
    """The smallest singular value over its median for independent entries of the same standard
    deviation."""
    start_ratio = Attribute[Optional[float]]("evidence.start_ratio")
    """The root mean square of the entries over the smallest usual initialization."""
    base_lost = Attribute[Optional[int]]("evidence.base_lost")
    """Directions that the base model had lost already; null without a base model."""
    base_ratio = Attribute[Optional[float]]("evidence.base_ratio")
    """The root mean square of the entries over that of the base model; null without one."""
    noise_floor = Attribute[Optional[float]]("evidence.noise_floor")
    """The singular value that the errors of quantization can reach in a lost direction; null
    without quantization."""
