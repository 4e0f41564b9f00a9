from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.members import ridge
from pipeline.core.members.tridiagonal import penalised, tridiagonalise
from pipeline.core.model.solve.eigen import eigen


def problem(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(60, 5)) * [1, 3, 0.5, 2, 1]
    x[:, 4] = 0.0  # a column that never is anything
    y = x @ [1, -2, 3, 0.5, 0] + random.normal(size=60)
    return x, y, np.sqrt((x * x).mean(axis=0))


def test_a_solution_is_that_of_the_penalised_equations() -> None:
    x, y, size = problem()
    scale = np.where(size > 0, size, -1.0)
    penalties, found = np.array([0.01, 0.1, 1.0]), np.empty(5)
    ridge.solve(x.T @ x, x.T @ y, 60.0, penalties, scale, found)
    scaled = x[:, :4] / size[:4]
    solutions = [
        np.linalg.solve(scaled.T @ scaled + 60 * penalty * np.eye(4), scaled.T @ y) / size[:4] for penalty in penalties
    ]
    np.testing.assert_allclose(found[:4], np.mean(solutions, axis=0), rtol=1e-10)
    assert found[4] == 0


def test_the_penalty_is_that_of_generalised_cross_validation() -> None:
    x, y, size = problem(1)
    scale = np.empty(5)
    chosen = ridge.choose_penalties(x.T @ x, x.T @ y, float(y @ y), 60.0, 1e6, scale)
    np.testing.assert_allclose(scale[:4], size[:4])
    assert scale[4] == -1
    scaled = x[:, :4] / size[:4]
    candidates = 10.0 ** (ridge.LEAST_EXPONENT + ridge.EXPONENT_STEP * np.arange(ridge.PENALTIES))
    criteria = []
    for penalty in candidates:
        hat = scaled @ np.linalg.solve(scaled.T @ scaled + 60 * penalty * np.eye(4), scaled.T)
        residuals = y - hat @ y
        criteria.append((residuals @ residuals) / 60 / (1 - np.trace(hat) / 60) ** 2)
    np.testing.assert_allclose(chosen, candidates[np.argmin(criteria)], rtol=1e-12)  # with no softness, thrice the best


@pytest.mark.parametrize("columns", [1, 2, 3, 18])
def test_a_tridiagonal_system_has_the_same_solution_and_trace(columns: int) -> None:
    random = np.random.default_rng(3)
    x, c = random.normal(size=(columns + 5, columns)), random.normal(size=columns)
    matrix = x.T @ x
    if columns > 2:
        matrix[1] = matrix[:, 1] = c[1] = 0.0  # a column that never is anything
    inverse = np.linalg.inv(matrix + 0.3 * np.eye(columns))
    solution = inverse @ c
    rotated = c.copy()
    diagonal, beside = tridiagonalise(matrix.copy(), rotated)
    assert np.sort(np.linalg.eigvalsh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))) == pytest.approx(
        np.linalg.eigvalsh(matrix), abs=1e-11
    )
    explained, trace = penalised(diagonal, beside, rotated, 0.3)
    assert explained == pytest.approx(c @ solution + 0.3 * solution @ solution)
    assert trace == pytest.approx(np.trace(inverse))


def test_eigenvectors_are_found_whatever_is_left_to_rounding() -> None:
    random = np.random.default_rng(2)
    for rank in (18, 7):
        x = random.normal(size=(rank, 18))
        matrix = x.T @ x
        matrix[3] = matrix[:, 3] = 0.0
        values, vectors = eigen(matrix)
        np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, matrix, atol=1e-11)
        np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(matrix), atol=1e-10)
