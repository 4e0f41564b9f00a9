"""Prophet's model, solved exactly: dates to features, features to Gram, solver, Prophet's parameters, forecast.

The model (Taylor & Letham 2018, "Forecasting at scale", as in prophet 1.5's Stan program), for y scaled to about 1:

    y ~ Normal(trend (1 + X_m beta) + X_a beta, sigma)
    trend = k t + m + sum_j delta_j (t - s_j)+          (linear; see gauss_newton.py for logistic, flat is m)
    k, m ~ Normal(0, 5)   delta ~ Laplace(0, tau)   beta ~ Normal(0, prior scales)   sigma ~ HalfNormal(0.5)

Prophet's point forecast comes from the parameters that maximise the posterior, and so does this one.
"""
